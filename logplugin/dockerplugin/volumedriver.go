package dockerplugin

import (
	"context"
	"net/http"
	"time"
)

// Volume is what the daemon is told of one.
type Volume struct {
	Name, Mountpoint string
	CreatedAt        string `json:",omitempty"` // RFC 3339
}

// Volumes is what the calls for volumes lead to. The methods may be called at the same time, also for one volume. The text
// of an error is for people, in one line, and must not show a secret; one with ErrHangUp in its chain is not answered.
type Volumes interface {
	// Create keeps the options of a volume. It must not need the network.
	Create(name string, options map[string]string) error
	// Remove forgets a volume. One that does not exist is removed already.
	Remove(name string) error
	// Mount returns the directory of a volume, once its files are there. It should return soon after ctx ends. An error keeps
	// the container from starting.
	Mount(ctx context.Context, name, id string) (string, error)
	// Unmount says that a container has ended. The daemon does not call it for each Mount, and sometimes twice.
	Unmount(name, id string)
	// Get fails only for a volume that does not exist: the daemon forgets a volume for which it fails.
	Get(name string) (Volume, error)
	// List returns all volumes.
	List() ([]Volume, error)
}

// Limits of the calls that must not need the network: they wait for the disk at most.
const volumeTimeout = 20 * time.Second

// NewVolumes returns a Server for o.Volumes and o.Secrets, on a socket without logs.
func NewVolumes(o Options) *Server {
	s := newServer(o)
	s.options.Readers = 0
	s.offerSecrets()
	return s
}

// volumeDriver is the interface VolumeDriver of the protocol.
type volumeDriver struct {
	server  *Server
	volumes Volumes
}

func (d volumeDriver) methods() map[string]method {
	return map[string]method{
		"/VolumeDriver.Capabilities": d.capabilities,
		"/VolumeDriver.Create":       d.create,
		"/VolumeDriver.Remove":       d.remove,
		"/VolumeDriver.Mount":        d.mount,
		"/VolumeDriver.Unmount":      d.unmount,
		"/VolumeDriver.Path":         d.path,
		"/VolumeDriver.Get":          d.get,
		"/VolumeDriver.List":         d.list,
	}
}

// volumeCall is the body of all calls: each has some of the fields.
type volumeCall struct {
	Name, ID string
	Opts     map[string]string
}

// capabilities: a volume is of this host, and another may have one of the same name.
func (d volumeDriver) capabilities(http.ResponseWriter, *http.Request) (any, error) {
	type capabilities struct{ Scope string }
	return struct{ Capabilities capabilities }{capabilities{"local"}}, nil
}

// call decodes the body of a call, and makes it within limit.
func (d volumeDriver) call(r *http.Request, limit time.Duration, f func(context.Context, volumeCall) error) error {
	q, err := decode[volumeCall](r)
	if err != nil {
		return err
	}
	return d.server.within(r, limit, func(ctx context.Context) error { return f(ctx, q) }, func() {})
}

func (d volumeDriver) create(_ http.ResponseWriter, r *http.Request) (any, error) {
	return failure{}, d.call(r, volumeTimeout, func(_ context.Context, q volumeCall) error { return d.volumes.Create(q.Name, q.Opts) })
}

func (d volumeDriver) remove(_ http.ResponseWriter, r *http.Request) (any, error) {
	return failure{}, d.call(r, volumeTimeout, func(_ context.Context, q volumeCall) error { return d.volumes.Remove(q.Name) })
}

// mounted is the answer that has the directory of a volume.
type mounted struct{ Mountpoint, Err string }

func (d volumeDriver) mount(_ http.ResponseWriter, r *http.Request) (any, error) {
	path := make(chan string, 1)
	err := d.call(r, d.server.options.MountTimeout, func(ctx context.Context, q volumeCall) error {
		p, err := d.volumes.Mount(ctx, q.Name, q.ID)
		path <- p
		return err
	})
	if err != nil {
		return nil, err
	}
	return mounted{Mountpoint: <-path}, nil
}

func (d volumeDriver) unmount(_ http.ResponseWriter, r *http.Request) (any, error) {
	return failure{}, d.call(r, volumeTimeout, func(_ context.Context, q volumeCall) error {
		d.volumes.Unmount(q.Name, q.ID)
		return nil
	})
}

func (d volumeDriver) path(_ http.ResponseWriter, r *http.Request) (any, error) {
	v, err := d.find(r)
	if err != nil {
		return nil, err
	}
	return mounted{Mountpoint: v.Mountpoint}, nil
}

func (d volumeDriver) get(_ http.ResponseWriter, r *http.Request) (any, error) {
	v, err := d.find(r)
	if err != nil {
		return nil, err
	}
	return struct {
		Volume Volume
		Err    string
	}{Volume: v}, nil
}

func (d volumeDriver) find(r *http.Request) (Volume, error) {
	found := make(chan Volume, 1)
	err := d.call(r, volumeTimeout, func(_ context.Context, q volumeCall) error {
		v, err := d.volumes.Get(q.Name)
		found <- v
		return err
	})
	if err != nil {
		return Volume{}, err
	}
	return <-found, nil
}

func (d volumeDriver) list(_ http.ResponseWriter, r *http.Request) (any, error) {
	found := make(chan []Volume, 1)
	err := d.call(r, volumeTimeout, func(context.Context, volumeCall) error {
		all, err := d.volumes.List()
		found <- all
		return err
	})
	if err != nil {
		return nil, err
	}
	return struct {
		Volumes []Volume
		Err     string
	}{Volumes: <-found}, nil
}
