//go:build integration

package hosttest

import (
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

const (
	instanceRole = "arn:aws:iam::111122223333:role/app-host"
	metadataIP   = "169.254.169.254"
	deadIP       = "169.254.169.9" // packets to it are dropped without a word
)

// instance is an EC2 instance as the network sees it: the metadata service one hop from the host, and two from a
// container that is routed through the host.
type instance struct {
	metadata, host, container *rig.NetNS
	aws                       *fakeaws.Server
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	use := func() *rig.NetNS { return rig.Use(t, rig.StartNetNS, rig.NetNSOptions{}) }
	n := &instance{metadata: use(), host: use(), container: use()}
	connect := func(a *rig.NetNS, addr string, b *rig.NetNS, peer string) {
		if err := a.Connect(t.Context(), addr, b, peer); err != nil {
			t.Fatal(err)
		}
	}
	connect(n.metadata, metadataIP+"/24", n.host, "169.254.169.1/24")
	connect(n.container, "10.88.0.2/24", n.host, "10.88.0.1/24")
	for _, c := range []struct {
		in  *rig.NetNS
		cmd string
	}{
		{n.host, "echo 1 >/proc/sys/net/ipv4/ip_forward"},
		{n.host, "ip neigh add " + deadIP + ` lladdr 02:00:00:00:00:09 nud permanent dev "$(ip -o route get ` + metadataIP + ` | sed 's/.* dev \([^ ]*\) .*/\1/')"`},
		{n.container, "ip route add default via 10.88.0.1"},
		{n.metadata, "ip route add 10.88.0.0/24 via 169.254.169.1"},
	} {
		if _, err := c.in.Run(t.Context(), rig.Cmd{Args: []string{"sh", "-c", c.cmd}}); err != nil {
			t.Fatal(err)
		}
	}
	err := n.metadata.Do(func() (err error) {
		n.aws, err = fakeaws.Start(fakeaws.Options{Listen: metadataIP + ":8443", ListenIMDS: metadataIP + ":80"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.aws.Close)
	n.aws.PutRole(fakeaws.Role{ARN: instanceRole})
	return n
}

// One address, one hop limit, and where the helper runs decides. The credentials are those of the role, from the
// address that the SDK has by default.
func TestMetadataHopLimit(t *testing.T) {
	n := newInstance(t)
	for _, c := range []struct {
		name string
		in   *rig.NetNS
		imds fakeaws.IMDS
		says []string // of the error; nil = it works
	}{
		{"host, limit 1", n.host, fakeaws.IMDS{Role: instanceRole, HopLimit: 1}, nil},
		{"host, limit 2", n.host, fakeaws.IMDS{Role: instanceRole, HopLimit: 2}, nil},
		{"container, limit 2", n.container, fakeaws.IMDS{Role: instanceRole, HopLimit: 2}, nil},
		{"container, limit 1", n.container, fakeaws.IMDS{Role: instanceRole, HopLimit: 1},
			[]string{"hop limit", "HttpPutResponseHopLimit to 2", "IMDSv2 is required", "http://" + metadataIP}},
		{"container, limit 1, IMDSv1 allowed", n.container, fakeaws.IMDS{Role: instanceRole, HopLimit: 1, V1: true},
			[]string{"HttpPutResponseHopLimit to 2", "IMDSv1 is still allowed there, but is not used"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newMetadataHost(t, n)
			n.aws.SetIMDS(c.imds)
			n.aws.ResetCalls()
			in := call{in: c.in}
			if c.says != nil {
				h.failsInSeconds(in, c.says...)
				h.calls(0)
				return
			}
			h.get(in, h.canary.Value())
			h.calls(1)
			for _, call := range n.aws.Calls() {
				if call.Op == "GetSecretValue" && !strings.Contains(call.Identity, ":assumed-role/app-host/"+fakeaws.InstanceID) {
					t.Errorf("asked as %s, want the instance's role", call.Identity)
				}
			}
		})
	}
}

// Each way of having no credentials is told apart, from where the kernel says so or says nothing.
func TestMetadataMissing(t *testing.T) {
	n := newInstance(t)
	outside := rig.Use(t, rig.StartNetNS, rig.NetNSOptions{})
	with := fakeaws.IMDS{Role: instanceRole}
	for _, c := range []struct {
		name     string
		in       *rig.NetNS
		imds     fakeaws.IMDS
		endpoint string // "" = the SDK's own
		says     []string
	}{
		{"no network", outside, with, "", []string{"nothing answers there (connect: network is unreachable)", "is this an EC2 instance"}},
		{"packets dropped", n.host, with, "http://" + deadIP, []string{"nothing answers there (timed out)", "is this an EC2 instance"}},
		{"packets dropped on the way", n.container, with, "http://" + deadIP, []string{"nothing answers there (timed out)"}},
		{"refused", n.host, with, "http://" + metadataIP + ":81", []string{"nothing answers there (connect: connection refused)", "profile under [aws]"}},
		{"no role", n.host, fakeaws.IMDS{HopLimit: 1}, "", []string{"the instance has no role", "attach an instance profile"}},
		{"disabled", n.host, fakeaws.IMDS{Disabled: true}, "", []string{"(403)", "--http-endpoint enabled"}},
		{"takes the connection and hangs", n.host, fakeaws.IMDS{Role: instanceRole, Hangs: true}, "", []string{"does not arrive", "HttpPutResponseHopLimit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newMetadataHost(t, n)
			n.aws.SetIMDS(c.imds)
			in := call{in: c.in}
			if c.endpoint != "" {
				in.env = []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + c.endpoint}
			}
			h.failsInSeconds(in, c.says...)
		})
	}
}

// newMetadataHost has no credentials but those of the instance. All namespaces share the user's keyring, so nothing is
// cached.
func newMetadataHost(t *testing.T, n *instance) *host {
	t.Helper()
	h := newHost(t, n.aws, "[cache]\nstore = \"off\"")
	h.env = rig.Env(h.dir, "SECRETREF_CONFIG="+h.config(), "AWS_ENDPOINT_URL="+n.aws.URL, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	return h
}

func (h *host) failsInSeconds(c call, says ...string) {
	h.t.Helper()
	began := time.Now()
	h.getFails(c, append(says, "get credentials from the instance metadata service")...)
	if took := time.Since(began); took > 4*time.Second {
		h.t.Errorf("took %v, want less than 4 s", took)
	}
}
