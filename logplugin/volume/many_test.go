package volume

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
)

// Five hundred volumes of four references each: a refresh makes one call for each secret, they need little memory, and a Mount of
// values that are known takes no time that a person would notice.
func TestManyVolumes(t *testing.T) {
	const volumes, secrets = 500, 50
	h := newHost(t)
	h.dir = h.config.Secrets.ValuesDir + "/.state" // in memory: a disk takes a second or ten for a thousand files
	h.wait, h.config.AWS.Timeout = 20*time.Second, 20*time.Second
	put := func(round int) (arns []string) {
		for i := range secrets {
			arns = append(arns, h.aws.PutSecret(fakeaws.Secret{Name: fmt.Sprint("prod/s", i), String: fmt.Sprintf(`{"a":"a%d","b":"b%d","c":"c%d","d":"d%d"}`, round, round, round, round)}))
		}
		return arns
	}
	arns := put(1)
	v := h.volumes()
	before := heap()
	for i := range volumes {
		name, arn := fmt.Sprint("v", i), arns[i%secrets]
		h.create(v, name, "secrets.a="+arn+":a::", "secrets.b="+arn+":b::", "secrets.c="+arn+":c::", "secrets.d="+arn+":d::")
		mustMount(t, v, name, "c1")
	}
	if more := heap() - before; more > 20<<20 {
		t.Errorf("%d volumes have %d bytes of memory, want at most 20 MiB", volumes, more)
	}
	if n := h.aws.CountCalls(""); n != secrets {
		t.Errorf("%d calls for %d secrets of %d volumes", n, secrets, volumes)
	}
	put(2)
	h.aws.ResetCalls()
	if n, err := v.Refresh(t.Context(), ""); n != volumes || err != nil {
		t.Errorf("Refresh = %d, %v", n, err)
	}
	if n := h.aws.CountCalls(""); n > secrets {
		t.Errorf("a refresh made %d calls for %d secrets", n, secrets)
	}
	var took []time.Duration
	for i := range volumes {
		name := fmt.Sprint("v", i)
		if got := h.file(name, "d"); got != "d2" {
			t.Fatalf("%s has %q after the refresh", name, got)
		}
		start := time.Now()
		mustMount(t, v, name, "c2")
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("a Mount of values that are known: median %v, largest %v", took[volumes/2], took[volumes-1])
	if took[volumes/2] > 20*time.Millisecond {
		t.Errorf("a Mount of values that are known takes %v, want at most 20 ms", took[volumes/2])
	}
}

// heap is the memory that is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below the limit
}
