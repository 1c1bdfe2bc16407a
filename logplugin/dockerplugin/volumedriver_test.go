package dockerplugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeVolumes knows one volume, app; mount is what Mount does, and nil succeeds.
type fakeVolumes struct {
	mount func(ctx context.Context) error
}

func (f fakeVolumes) Create(name string, options map[string]string) error {
	if options["secrets.db"] == "" {
		return errors.New("no option names a secret")
	}
	return nil
}

func (f fakeVolumes) Remove(string) error { return nil }

func (f fakeVolumes) Mount(ctx context.Context, name, id string) (string, error) {
	if f.mount != nil {
		return "", f.mount(ctx)
	}
	return "/v/" + name + "/" + id, nil
}

func (f fakeVolumes) Unmount(string, string) {}

func (f fakeVolumes) Get(name string) (Volume, error) {
	switch name {
	case "app":
		return Volume{Name: name, Mountpoint: "/v/app"}, nil
	case "unread":
		return Volume{}, fmt.Errorf("%w: the disk does not answer", ErrHangUp)
	}
	return Volume{}, errors.New("no such volume")
}

func (f fakeVolumes) List() ([]Volume, error) {
	return []Volume{{Name: "app", Mountpoint: "/v/app", CreatedAt: "2026-11-28T09:00:00Z"}}, nil
}

// serveVolumes serves volumes on a socket of their own.
func serveVolumes(t *testing.T, v Volumes, o Options) *daemon {
	t.Helper()
	d := &daemon{path: filepath.Join(socketDir(t), "v.sock")}
	l, err := Listen(d.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { o.Volumes = v; served <- NewVolumes(o).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	d.http.Transport = unixTransport(d.path)
	d.http.Timeout = 20 * time.Second
	return d
}

// Each call for volumes has its answer, on a socket of their own and on that of the log driver.
func TestVolumeAnswers(t *testing.T) {
	own := serveVolumes(t, fakeVolumes{}, Options{})
	shared := serve(t, &fake{}, Options{Volumes: fakeVolumes{}})
	for _, c := range []struct{ method, body, want string }{
		{"VolumeDriver.Capabilities", "", `{"Capabilities":{"Scope":"local"}}`},
		{"VolumeDriver.Create", `{"Name":"app","Opts":{"secrets.db":"/x"}}`, `{"Err":""}`},
		{"VolumeDriver.Create", `{"Name":"app"}`, `{"Err":"secretref: no option names a secret"}`},
		{"VolumeDriver.Create", `{"Name":"app","Opts":["` + canary + `"]}`, `{"Err":"secretref: the daemon's call is not the JSON that Docker documents for plugins"}`},
		{"VolumeDriver.Mount", `{"Name":"app","ID":"c1"}`, `{"Mountpoint":"/v/app/c1","Err":""}`},
		{"VolumeDriver.Unmount", `{"Name":"app","ID":"c1"}`, `{"Err":""}`},
		{"VolumeDriver.Path", `{"Name":"app"}`, `{"Mountpoint":"/v/app","Err":""}`},
		{"VolumeDriver.Path", `{"Name":"other"}`, `{"Err":"secretref: no such volume"}`},
		{"VolumeDriver.Get", `{"Name":"app"}`, `{"Volume":{"Name":"app","Mountpoint":"/v/app"},"Err":""}`},
		{"VolumeDriver.Get", `{"Name":"other"}`, `{"Err":"secretref: no such volume"}`},
		{"VolumeDriver.List", "", `{"Volumes":[{"Name":"app","Mountpoint":"/v/app","CreatedAt":"2026-11-28T09:00:00Z"}],"Err":""}`},
		{"VolumeDriver.Remove", `{"Name":"other"}`, `{"Err":""}`},
	} {
		body := c.body
		if body == "" {
			body = "{}"
		}
		for where, d := range map[string]*daemon{"own socket": own, "socket of logs": shared} {
			if got := d.call(t, c.method, body); got != c.want {
				t.Errorf("%s: %s %s: %s, want %s", where, c.method, c.body, got, c.want)
			}
		}
	}
	for want, d := range map[string]*daemon{
		`{"Implements":["VolumeDriver"],"Err":""}`:             own,
		`{"Implements":["LogDriver","VolumeDriver"],"Err":""}`: shared,
	} {
		if got := d.call(t, "Plugin.Activate", "{}"); got != want {
			t.Errorf("Plugin.Activate: %s, want %s", got, want)
		}
	}
	for _, method := range []string{"LogDriver.StartLogging", "VolumeDriver.Other"} {
		if got := own.call(t, method, startBody(file)); !strings.Contains(got, "there is no call") {
			t.Errorf("%s on the socket of volumes: %s", method, got)
		}
	}
}

// A call that nobody can answer truthfully has no answer: the daemon would forget the volume.
func TestVolumeUnread(t *testing.T) {
	d := serveVolumes(t, fakeVolumes{}, Options{})
	c, err := net.Dial("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const body = `{"Name":"unread"}`
	fmt.Fprintf(c, "POST /VolumeDriver.Get HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	b := make([]byte, 100)
	if n, err := c.Read(b); err == nil {
		t.Errorf("the answer is %q, want none", b[:n])
	}
}

// A Mount has a limit of its own, longer than that of StartLogging on the same socket.
func TestMountTimeout(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit time.Duration
		want  []string // one of them
	}{
		{"in time", time.Minute, []string{`{"Mountpoint":"","Err":""}`}},
		// On a busy machine the end of the limit can come before the words of the call.
		{"late", 40 * time.Millisecond, []string{`{"Err":"secretref: context deadline exceeded"}`, `{"Err":"secretref: secretref-logdriver did not answer within 40ms"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			release := make(chan struct{})
			d := serve(t, &fake{}, Options{StartTimeout: time.Nanosecond, MountTimeout: c.limit, Volumes: fakeVolumes{mount: func(ctx context.Context) error {
				select {
				case <-release:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}})
			if c.limit > time.Second {
				close(release)
			}
			if got := d.call(t, "VolumeDriver.Mount", `{"Name":"app","ID":"c1"}`); !slices.Contains(c.want, got) {
				t.Errorf("Mount: %s, want one of %s", got, c.want)
			}
		})
	}
}
