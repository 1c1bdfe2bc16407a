package logplugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/history"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/swarm"
	"github.com/secretref/secretref/logplugin/variables"
	"github.com/secretref/secretref/logplugin/volume"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
)

// service is the running driver, as people and programs ask it.
type service struct {
	version   string
	sessions  *session.Sessions
	volumes   *volume.Volumes    // nil = this host has no volumes
	swarm     *swarm.Secrets     // nil exactly when volumes is
	variables *variables.Service // nil = secretref-runtime cannot ask
	resolver  *resolve.Resolver
	kinds     []router.Kind
	resolves  *metrics.Resolves

	unusable bool // there was never a configuration that can be used: config is a fallback

	mu     sync.Mutex
	config *config.Config
	broken error // what is wrong with the configuration on disk; nil means that it was in order when it was last read
}

var (
	_ control.Driver = (*service)(nil)
	_ metrics.Health = (*service)(nil)
)

// setBroken says what is wrong with the configuration on disk; the one in use stays.
func (s *service) setBroken(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

// current returns the configuration in use, and why the one on disk is not.
func (s *service) current() (*config.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config, s.broken
}

// Broken reports whether the configuration on disk cannot be used.
func (s *service) Broken() bool {
	_, err := s.current()
	return err != nil
}

// slowAWS is longer than AWS takes when all is well.
const slowAWS = 2 * time.Second

// Attention returns why a person should look.
func (s *service) Attention() []string { return s.attention(s.sessions.Status()) }

func (s *service) attention(all []session.Status) []string {
	reasons := []string{} // in JSON a list, also without elements
	if _, err := s.current(); err != nil {
		reasons = append(reasons, "the configuration is broken: "+fault.OneLine(err.Error()))
	}
	if err := s.sessions.Unread(); err != nil {
		reasons = append(reasons, fault.OneLine(err.Error()))
	}
	for _, damaged := range s.sessions.Damaged() {
		reasons = append(reasons, fault.OneLine(damaged))
	}
	for _, wrong := range s.sessions.WrongDestinations() {
		reasons = append(reasons, fault.OneLine(wrong))
	}
	if waits := s.resolver.Status().Unanswered; waits > slowAWS {
		reasons = append(reasons, fmt.Sprintf("AWS has not answered for %v", waits.Round(time.Second)))
	} else if trouble := s.resolves.Trouble(); trouble != "" {
		reasons = append(reasons, trouble)
	}
	if s.volumes != nil {
		reasons = append(append(reasons, s.volumes.Attention()...), s.swarm.Attention()...)
	}
	if s.variables != nil {
		reasons = append(reasons, s.variables.Attention()...)
	}
	return append(reasons, control.Attention(all)...)
}

// Report answers `status`.
func (s *service) Report() control.Report {
	all := s.sessions.Status()
	r := control.Report{Version: control.ReportVersion, Program: s.version, Attention: s.attention(all), Sessions: all, History: s.sessions.History()}
	if s.volumes != nil {
		r.Volumes, r.Swarm = s.volumes.Status(), s.swarm.Status()
	}
	if s.variables != nil {
		r.Variables = s.variables.Status()
	}
	return r
}

// Refresh reads the values of volumes again.
func (s *service) Refresh(ctx context.Context, name string) (int, error) {
	if s.volumes == nil {
		return 0, errNoVolumes
	}
	return s.volumes.Refresh(ctx, name)
}

var errNoVolumes = errors.New("this driver has no volumes; enable secretref-files.socket, or use serve --volume-socket")

// ForgetVolume removes a volume.
func (s *service) ForgetVolume(name string, force bool) error {
	if s.volumes == nil {
		return errNoVolumes
	}
	return s.volumes.Forget(name, force)
}

// Forget ends a session.
func (s *service) Forget(id string, how session.Forgetting) (session.Status, error) {
	return s.sessions.Forget(id, how)
}

// ForgetEnded deletes what is kept of the log of a container that has ended.
func (s *service) ForgetEnded(container string) (history.Stats, error) {
	return s.sessions.ForgetEnded(container)
}

// perContainer reports whether each session has metrics of its own.
func (s *service) perContainer() bool {
	cfg, _ := s.current()
	return cfg.Logs.MetricsPerContainer
}
