package logplugin_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// secretref-runtime starts with every call of the container runtime.
func TestRuntimeSize(t *testing.T) {
	program := filepath.Join(t.TempDir(), "secretref-runtime")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/secretref-runtime")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(4_000_000); info.Size() > most {
		t.Errorf("the program has %d bytes, want at most %d", info.Size(), most)
	}
}

// The program stays small. A function that looks methods up by names that are known at run time only makes the linker
// keep every exported method of every type: package text/template's Execute has such a function, and every operation of
// every client of AWS is such a method.
func TestProgramSize(t *testing.T) {
	program := filepath.Join(t.TempDir(), "secretref-logdriver")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags", "-s -w -dumpdep", "-o", program, "./cmd/secretref-logdriver")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var edges bytes.Buffer // what needs what, one a line, as the linker has found it
	cmd.Stderr = &edges
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, edges.Bytes()[:min(edges.Len(), 4096)])
	}
	if !bytes.Contains(edges.Bytes(), []byte("main.main -> ")) {
		t.Fatalf("the linker has said nothing of main.main in %d bytes", edges.Len())
	}
	for line := range bytes.Lines(edges.Bytes()) {
		if bytes.HasSuffix(bytes.TrimSpace(line), []byte("<ReflectMethod>")) {
			t.Errorf("a function looks methods up by name: %s", line)
		}
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	const most = 20_000_000
	t.Logf("%d bytes", info.Size())
	if info.Size() > most {
		t.Errorf("the program has %d bytes, want at most %d", info.Size(), most)
	}
}
