package logplugin

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/awsconf"
)

// The first lines of the process wait for so long for the answer of the instance metadata service, which takes some
// milliseconds on EC2.
const instanceWait = 500 * time.Millisecond

// instancePauses are those before the service is asked again: at the start of a host the network may come later than the log driver.
var instancePauses = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// instance is the EC2 instance that the process runs on. It is looked for once, for all configurations.
type instance struct {
	once   sync.Once
	looked chan struct{} // closed after the first look

	mu    sync.Mutex
	found router.Instance // the zero value if none is known
}

// look asks the instance metadata service until it answers, a few times, or ctx ends.
func (i *instance) look(ctx context.Context, ask func(context.Context) (awsconf.Instance, error), log *slog.Logger) {
	again := time.NewTimer(0)
	defer again.Stop()
	for try := 0; ; try++ {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		found, err := ask(ctx)
		if err == nil {
			i.mu.Lock()
			i.found = router.Instance(found)
			i.mu.Unlock()
			log.Info("the instance is known, and lines name it where the router has a place for it", "instance", found.ID, "zone", found.Zone)
		}
		if try == 0 {
			close(i.looked)
		}
		if err == nil {
			return
		}
		if try == len(instancePauses) {
			log.Info("the instance metadata service does not answer; lines name no instance", "error", err)
			return
		}
		again.Reset(instancePauses[try])
	}
}

// get returns what is known, after a short wait for the first look.
func (i *instance) get(ctx context.Context) router.Instance {
	late := time.NewTimer(instanceWait)
	defer late.Stop()
	select {
	case <-i.looked:
	case <-late.C:
	case <-ctx.Done():
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.found
}
