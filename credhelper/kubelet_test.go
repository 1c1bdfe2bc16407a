//go:build integration

package credhelper_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// The kubelet's own types and codec understand the answers, which its strict decoder does only if they are to the letter.
func TestKubeletsOwnTypes(t *testing.T) {
	w := newWorld(t, fakeaws.Options{})
	w.secret("prod/registry")
	w.config(`[registries."registry.example.com:5000/team"]
credentialsParameter = "prod/registry"
[registries."away.example.com"]
credentialsParameter = "prod/away"
`)
	for _, tt := range []struct{ name, image, want string }{
		{"credentials", "registry.example.com:5000/team/app", `{"CacheKeyType":"Image","CacheDuration":"0s","Auth":{"registry.example.com:5000":{"Username":"robot","Password":"$CANARY"}}}`},
		{"from the cache", "registry.example.com:5000/team/other", `{"CacheKeyType":"Image","CacheDuration":"0s","Auth":{"registry.example.com:5000":{"Username":"robot","Password":"$CANARY"}}}`},
		{"no rule", "unmapped.example.com/app", `{"CacheKeyType":"Image","CacheDuration":"0s","Auth":null}`},
		{"a failure", "away.example.com/app", "exit status 1: docker-credential-secretref: registry away.example.com/app: get secret prod/away"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := w.show(w.kubelet(t, tt.image)); !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	if n := len(w.aws.Calls()); n != 2 {
		t.Errorf("%d calls to AWS, want one for each secret", n)
	}
}

// kubelet returns what the kubelet understands of the answer about an image, or why there is none.
func (w *world) kubelet(t *testing.T, image string) string {
	t.Helper()
	codec, err := rig.Tool("kubeletcodec")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(codec)
	if err != nil {
		t.Fatal(err)
	}
	w.write("bin/kubeletcodec", string(program), 0o755, 0) // where the world's user may run it
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(w.dir, "bin/kubeletcodec"), image, filepath.Join(w.bin, helper), "kubelet")
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: w.uid, Gid: w.uid}}, w.dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String()
	}
	var a struct {
		CacheKeyType  string
		CacheDuration string
		Auth          map[string]struct{ Username, Password string }
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
