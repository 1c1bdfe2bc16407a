// Command kubeletcodec speaks to an image credential provider with the types and the codec of the kubelet:
//
//	kubeletcodec IMAGE PROGRAM ARGUMENT...
//
// It prints what the kubelet understands as one JSON object.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/kubelet/pkg/apis/credentialprovider"
	"k8s.io/kubelet/pkg/apis/credentialprovider/install"
	v1 "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(image string, program []string) error {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	if !ok {
		return errors.New("no serializer for JSON")
	}
	request, err := runtime.Encode(codecs.EncoderForVersion(info.Serializer, v1.SchemeGroupVersion), &credentialprovider.CredentialProviderRequest{Image: image})
	if err != nil {
		return err
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Stdin = bytes.NewReader(request)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, stderr.String())
	}
	object, kind, err := codecs.UniversalDecoder().Decode(out, nil, nil)
	if err != nil {
		return err
	}
	response, ok := object.(*credentialprovider.CredentialProviderResponse)
	if !ok || kind.GroupVersion() != v1.SchemeGroupVersion {
		return fmt.Errorf("the answer is %v", kind)
	}
	return json.NewEncoder(os.Stdout).Encode(response)
}
