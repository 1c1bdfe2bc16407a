package rig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// RegistryOptions says how a registry is to be.
type RegistryOptions struct {
	User, Password string   // both needed: for push and for pull
	CA             *CA      // signs the registry's certificate; nil = plain HTTP
	Names          []string // host names for the certificate, besides localhost and the address

	// OwnAddress gives the registry an address outside of 127.0.0.0/8, on an interface of its own that nobody else
	// reaches. dockerd takes all of 127.0.0.0/8, by name too, for insecure, and verifies no certificate there.
	OwnAddress bool
}

// Registry is Debian's docker-registry with basic authentication.
type Registry struct {
	link    string // the interface for OwnAddress
	addr    string
	port    *porttest.Reservation
	options RegistryOptions
	dir     string
	proc    *process
	client  *http.Client
}

// StartRegistry starts a registry and returns once it accepts user and password, and nothing else.
func StartRegistry(ctx context.Context, o RegistryOptions) (*Registry, error) {
	dir, err := tempDir("registry")
	if err != nil {
		return nil, err
	}
	r := &Registry{link: uniqueName("srrg-"), options: o, dir: dir, client: &http.Client{Timeout: 5 * time.Second}}
	if o.CA != nil {
		r.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.CA.Pool()}}
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

func (r *Registry) start(ctx context.Context) (err error) {
	ip := loopback
	if r.options.OwnAddress {
		if ip, err = addBridge(ctx, r.link); err != nil {
			return err
		}
	}
	if r.port, err = porttest.Reserve("tcp", ip); err != nil {
		return err
	}
	r.addr = r.port.Address()
	config := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: %[1]s/data}, delete: {enabled: true}}
auth: {htpasswd: {realm: rig, path: %[1]s/htpasswd}}
http:
  addr: %[2]s
  secret: rig
`, r.dir, r.addr)
	if r.options.CA != nil {
		certPEM, keyPEM, err := r.options.CA.Issue(append([]string{"localhost", r.IP()}, r.options.Names...)...)
		if err != nil {
			return err
		}
		if err := errors.Join(r.write("cert.pem", certPEM), r.write("key.pem", keyPEM)); err != nil {
			return err
		}
		config += fmt.Sprintf("  tls: {certificate: %[1]s/cert.pem, key: %[1]s/key.pem}\n", r.dir)
	}
	if err := errors.Join(r.write("config.yml", []byte(config)), r.writePassword(ctx, r.options.Password)); err != nil {
		return err
	}
	r.proc, err = startProcess("docker-registry", r.dir, Env(r.dir), "docker-registry", "serve", r.dir+"/config.yml")
	if err != nil {
		return err
	}
	return r.proc.ready(ctx, func(ctx context.Context) error { return r.accepts(ctx, r.options.Password) })
}

// Addr is the host and port for image names: "127.0.0.1:5000".
func (r *Registry) Addr() string { return r.addr }

// IP is the host alone, for DockerdOptions.Hosts.
func (r *Registry) IP() string { ip, _, _ := strings.Cut(r.addr, ":"); return ip }

// Port is the port alone, for a name of one's own.
func (r *Registry) Port() string { _, port, _ := strings.Cut(r.addr, ":"); return port }

// URL is where the API begins.
func (r *Registry) URL() string {
	if r.options.CA != nil {
		return "https://" + r.addr
	}
	return "http://" + r.addr
}

// SetPassword replaces the password and returns once the registry accepts the new one and refuses the old.
func (r *Registry) SetPassword(ctx context.Context, password string) error {
	if err := r.writePassword(ctx, password); err != nil {
		return err
	}
	old := r.options.Password
	r.options.Password = password
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return r.proc.ready(ctx, func(ctx context.Context) error {
		if err := r.accepts(ctx, password); err != nil || old == password {
			return err
		}
		code, err := status(ctx, r.client, r.URL()+"/v2/", r.options.User, old)
		if err == nil && code != http.StatusUnauthorized {
			err = fmt.Errorf("status %d for the old password, want 401", code)
		}
		return err
	})
}

// accepts says nil when the registry answers 200 to the password and 401 without one.
func (r *Registry) accepts(ctx context.Context, password string) error {
	with, err := status(ctx, r.client, r.URL()+"/v2/", r.options.User, password)
	if err != nil {
		return err
	}
	without, err := status(ctx, r.client, r.URL()+"/v2/", "", "")
	if err == nil && (with != http.StatusOK || without != http.StatusUnauthorized) {
		err = fmt.Errorf("status %d with password and %d without, want 200 and 401", with, without)
	}
	return err
}

// Log returns the output with one line for each request that names path, status and user agent.
func (r *Registry) Log() string { return r.proc.log() }

// Stop ends the registry and forgets its images.
func (r *Registry) Stop() error {
	var err error
	if r.proc != nil {
		err = r.proc.stop(5 * time.Second)
	}
	return errors.Join(err, r.port.Close(), removeLink(context.Background(), r.link), os.RemoveAll(r.dir))
}

// writePassword puts a file in place of the old one in one step: the registry reads it again when its time changes.
func (r *Registry) writePassword(ctx context.Context, password string) error {
	// Through stdin, because a password in arguments is a leak that the canary search would find.
	res, err := Cmd{Args: []string{"htpasswd", "-niBC", "5", r.options.User}, Stdin: password}.Run(ctx)
	if err != nil {
		return err
	}
	if err := r.write("htpasswd.new", []byte(strings.TrimSpace(res.Stdout)+"\n")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(r.dir, "htpasswd.new"), filepath.Join(r.dir, "htpasswd"))
}

func (r *Registry) write(name string, b []byte) error {
	return os.WriteFile(filepath.Join(r.dir, name), b, 0o600)
}

// status makes a GET and returns the status of the answer. user "" = without credentials.
func status(ctx context.Context, c *http.Client, url, user, password string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	req.Close = true // leave no idle connection, and no goroutine, behind
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
