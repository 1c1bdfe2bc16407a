package credhelper

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/credhelper/payload"
	"github.com/secretref/secretref/shared/registryhost"
)

// actionKubelet answers the kubelet's image credential providers' protocol: the name of an image in, and what its registry
// wants out. See https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/.
const (
	actionKubelet = "kubelet"

	kubeletAPI = "credentialprovider.kubelet.k8s.io/v1"
	// A request may hold a token and annotations of a service account.
	maxKubelet = 256 << 10
)

// kubeletRequest is a CredentialProviderRequest. A later kubelet may send more than these.
type kubeletRequest struct {
	APIVersion          string `json:"apiVersion"`
	Kind                string `json:"kind"`
	Image               string `json:"image"`
	ServiceAccountToken string `json:"serviceAccountToken"`
}

// kubeletResponse is a CredentialProviderResponse. The kubelet is to keep no answer: the cache of this host has it, and
// notices a rotated secret.
type kubeletResponse struct {
	APIVersion    string                        `json:"apiVersion"`
	Kind          string                        `json:"kind"`
	CacheKeyType  string                        `json:"cacheKeyType"`
	CacheDuration string                        `json:"cacheDuration"`
	Auth          map[string]kubeletCredentials `json:"auth"` // by a pattern for images; none means that nothing is known
}

type kubeletCredentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// kubeletImage returns the repository that a request is about, with its registry, as get takes it.
func kubeletImage(input []byte) (string, error) {
	var r kubeletRequest
	switch err := json.Unmarshal(input, &r); {
	case err != nil, r.Kind != "CredentialProviderRequest":
		return "", fmt.Errorf("standard input is not what kubelet takes: %s", wants(actionKubelet))
	case r.APIVersion != kubeletAPI:
		return "", fmt.Errorf("the request has another version than %s: write that as apiVersion of the provider in the kubelet's configuration", kubeletAPI)
	case r.ServiceAccountToken != "":
		return "", errors.New("the request has a service account's token, and credentials here are the host's: take tokenAttributes out of the provider in the kubelet's configuration")
	case r.Image == "":
		return "", errors.New("the request names no image")
	}
	return repositoryOf(r.Image), nil
}

// repositoryOf returns the repository of an image, without tag and digest, and with the registry that Docker takes for one
// without.
func repositoryOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') && strings.Contains(image, "/") {
		image = image[:i]
	}
	host, _, hasPath := strings.Cut(image, "/")
	if !hasPath || host != "localhost" && !strings.ContainsAny(host, ".:") {
		name, _, _ := strings.Cut(image, ":")
		return "docker.io/" + name
	}
	return image
}

// kubelet answers a request.
func (h *Helper) kubelet(input []byte) ([]byte, error) {
	repository, err := kubeletImage(input)
	if err != nil {
		return nil, err
	}
	host, _, _ := strings.Cut(repository, "/")
	username, password, err := h.get(repository, serverOf(host))
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		return kubeletAnswer(nil)
	case err != nil:
		return nil, err
	case username == payload.TokenUsername:
		return nil, fmt.Errorf("registry of %s: the secret holds an identity token, and the kubelet takes a user name and a password: write those into the secret", repository)
	}
	return kubeletAnswer(map[string]kubeletCredentials{host: {username, password}})
}

// serverOf returns a registry as Docker names it to its helpers.
func serverOf(host string) string {
	if host == registryhost.Hub {
		return registryhost.HubKey
	}
	return host
}

func kubeletAnswer(auth map[string]kubeletCredentials) ([]byte, error) {
	b, err := json.Marshal(kubeletResponse{
		APIVersion: kubeletAPI, Kind: "CredentialProviderResponse", CacheKeyType: "Image", CacheDuration: "0s", Auth: auth,
	})
	return append(b, '\n'), err
}
