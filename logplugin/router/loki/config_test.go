package loki

import (
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestParseRefuses(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct {
		name    string
		options map[string]string // on top of a good URL; "-" takes it away
		secrets map[string]string
		want    string // in the error; "" = none
	}{
		{"good", nil, nil, ""},
		{"whole path", map[string]string{"loki-url": "https://loki.example.com/loki/api/v1/push"}, nil, ""},
		{"the plugin's options", map[string]string{"loki-retries": "5", "loki-batch-size": "400", "loki-batch-wait": "2s", "loki-min-backoff": "1s", "loki-max-backoff": "1m", "keep-file": "true", "no-file": "true"}, nil, ""},
		{"no URL", map[string]string{"loki-url": "-"}, nil, "loki-url"},
		{"URL with user", map[string]string{"loki-url": "https://12345:" + hidden + "@logs.example.com/loki/api/v1/push"}, nil, "give credentials as options of their own"},
		{"URL with query", map[string]string{"loki-url": "https://logs.example.com/?k=" + hidden}, nil, addressExample},
		{"URL without scheme", map[string]string{"loki-url": "logs.example.com:3100"}, nil, "it has no scheme"},
		{"timeout", map[string]string{"loki-timeout": "1"}, nil, "loki-timeout"},
		{"tenant", map[string]string{"loki-tenant-id": "a b"}, nil, "loki-tenant-id"},
		{"tenant of two lines", map[string]string{"loki-tenant-id": "a\nX: y"}, nil, "loki-tenant-id"},
		{"encoding", map[string]string{"loki-encoding": "xml"}, nil, `"xml" is not one of protobuf, json`},
		{"metadata", map[string]string{"loki-structured-metadata": "on"}, nil, "loki-structured-metadata"},
		{"label without a value", map[string]string{"loki-external-labels": "job"}, nil, `"job" has no value`},
		{"label without a name", map[string]string{"loki-external-labels": "=x"}, nil, "has no name"},
		{"label twice", map[string]string{"loki-external-labels": "a=1,a=2"}, nil, "a is given twice"},
		{"two commas", map[string]string{"loki-external-labels": "a=1,,b=2"}, nil, "nothing between two commas"},
		{"bad name of a label", map[string]string{"loki-external-labels": "a-b=1"}, nil, `"a-b" is not the name of a label`},
		{"too many labels", map[string]string{"loki-external-labels": "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1,k=1"}, nil, "has 11 labels"},
		{"as many as may be", map[string]string{"loki-external-labels": "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1,j=1"}, nil, ""},
		{"user without password", map[string]string{"loki-user": "u"}, nil, "need each other"},
		{"user and token", map[string]string{"loki-user": "u"}, map[string]string{"loki-password": "x", "loki-bearer-token": "x"}, "two ways to log in"},
		{"user with a colon", map[string]string{"loki-user": "u:v"}, map[string]string{"loki-password": "x"}, "colon"},
		{"token of two lines", map[string]string{"loki-bearer-token": hidden + "\nX: y"}, nil, "line break"},
		{"empty token", map[string]string{"loki-bearer-token": ""}, nil, "loki-bearer-token is empty"},
		{"token that is JSON", map[string]string{"loki-bearer-token": `{"t":"` + hidden + `"}`}, nil, "whole JSON secret"},
		{"token without TLS", map[string]string{"loki-url": "http://loki.example.com:3100"}, map[string]string{"loki-bearer-token": "x"}, "loki-allow-plaintext=true"},
		{"token without TLS, allowed", map[string]string{"loki-url": "http://loki.example.com:3100", "loki-allow-plaintext": "true"}, map[string]string{"loki-bearer-token": "x"}, ""},
		{"token without TLS to this host", map[string]string{"loki-url": "http://localhost:3100"}, map[string]string{"loki-bearer-token": "x"}, ""},
		{"no credential and no TLS", map[string]string{"loki-url": "http://loki.example.com:3100"}, nil, ""},
		{"CA twice", map[string]string{"loki-ca-cert": "/a", "loki-tls-ca-file": "/b"}, nil, "loki-tls-ca-file and loki-ca-cert are the same thing"},
		{"the plugin's CA", map[string]string{"loki-tls-ca-file": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"the plugin's key without a certificate", nil, map[string]string{"loki-tls-key-file": "x"}, "need each other"},
		{"the plugin's skip", map[string]string{"loki-tls-insecure-skip-verify": "maybe"}, nil, "not a boolean"},
		{"everything a secret", map[string]string{"loki-url": "-"}, map[string]string{"loki-url": "x", "loki-external-labels": "x", "loki-tenant-id": "x", "loki-user": "x",
			"loki-password": "x", "loki-encoding": "x", "loki-structured-metadata": "x", "loki-timeout": "x", "loki-ca-cert": "x", "loki-client-cert": "x", "loki-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, Kind(), map[string]string{"loki-url": "https://loki.example.com"}, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	routertest.SecretsAreNotShown(t, Kind(), map[string]string{"loki-url": "http://127.0.0.1:1"}, map[string]map[string]string{
		"loki-user": {"loki-password": "p"}, "loki-password": {"loki-user": "u"},
		"loki-client-cert": {"loki-client-key": "/nonexistent"}, "loki-client-key": {"loki-client-cert": "/nonexistent"},
		"loki-tls-cert-file": {"loki-tls-key-file": "/nonexistent"}, "loki-tls-key-file": {"loki-tls-cert-file": "/nonexistent"},
	}, func(o router.Option) bool { return o.Session })
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	routertest.Defaults(t, Kind(), map[string]string{"loki-url": "https://h.example"}, func(v *router.Values) any {
		c := connectionOf(v, nil)
		c.Redact = nil // a function, which cannot be compared
		return c
	})
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-loki.example"
	addresses := []string{"https://" + host + ":1", "http://" + host, "https://127.0.0.1:1", "http://127.0.0.1:1/prefix"}
	routertest.HiddenAddress(t, Kind(), map[string]string{"loki-url": "http://127.0.0.1:1"}, "loki-url", addresses, host, "127.0.0.1", "/prefix")
}

func TestLabels(t *testing.T) {
	many := map[string]string{}
	for _, n := range strings.Split("a b c d e f g h i j k l m n o p q", " ") {
		many[n] = n
	}
	for _, c := range []struct {
		name, given string
		attrs       map[string]string
		about       router.About
		want        string
		metadata    string // in it
	}{
		{"default", "", nil, router.About{}, `{container_name="web", host="h", source="stdout"}`, "container_id"},
		{"given", "job=docker,app=a b", nil, router.About{}, `{app="a b", container_name="web", host="h", job="docker", source="stdout"}`, ""},
		{"with the name", "job=x-web-1", nil, router.About{}, `{host="h", job="x-web-1", source="stdout"}`, ""},
		{"with the id", "job=0123456789ab", nil, router.About{}, `{host="h", job="0123456789ab", source="stdout"}`, ""},
		{"a comma", `job=a\,b\\c,x=y`, nil, router.About{}, `{container_name="web", host="h", job="a,b\\c", source="stdout", x="y"}`, ""},
		{"odd values", "job=\xff\"\n", nil, router.About{}, `{container_name="web", host="h", job="` + "\ufffd" + `\"", source="stdout"}`, ""},
		{"picks", "", map[string]string{"com.example/app-1": "v", "1st": "x", "": "y", "é": "z"}, router.About{}, `{_="z", _1st="x", com_example_app_1="v", container_name="web", host="h", source="stdout"}`, ""},
		{"picks over the host", "", map[string]string{"host": "other"}, router.About{}, `{container_name="web", host="other", source="stdout"}`, ""},
		{"more than Loki takes", "", many, router.About{}, `{a="a", b="b", c="c", container_name="web", d="d", e="e", f="f", g="g", h="h", host="h", i="i", j="j", k="k", l="l", source="stdout"}`, "qqq"},
		{"a long value", "job=" + strings.Repeat("x", 3000), nil, router.About{}, `{container_name="web", host="h", job="` + strings.Repeat("x", 2048) + `", source="stdout"}`, ""},
		{"of Compose", "", nil, router.About{Project: "shop", Service: "web", Image: "nginx:1"}, `{compose_project="shop", compose_service="web", container_name="web", host="h", source="stdout"}`, "nginx:1"},
		{"of Swarm", "", nil, router.About{Project: "shop", Service: "web", Swarm: true}, `{container_name="web", host="h", source="stdout", swarm_service="web", swarm_stack="shop"}`, ""},
		{"of Compose, given", "compose_project=mine", nil, router.About{Project: "shop"}, `{compose_project="mine", container_name="web", host="h", source="stdout"}`, ""},
	} {
		o := router.Options{Plain: map[string]string{"loki-url": "https://h.example"}}
		if c.given != "" {
			o.Plain["loki-external-labels"] = c.given
		}
		config, err := Kind().New(o)
		if err != nil {
			t.Fatal(err)
		}
		made, err := config.Encoder(t.Context(), router.Session{ContainerName: "/web", ContainerID: "0123456789ab" + strings.Repeat("c", 52), Host: "h", About: c.about, Attrs: c.attrs})
		if err != nil {
			t.Fatal(err)
		}
		e, _ := made.(*Encoder)
		if got := string(e.streams[sourceStdout]); !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: labels %q, want %s", c.name, got, c.want)
		}
		if c.metadata == "qqq" {
			c.metadata = "\x0a\x01q\x12\x01q"
		}
		if !strings.Contains(string(e.metadata), c.metadata) {
			t.Errorf("%s: metadata %q, want %q in it", c.name, e.metadata, c.metadata)
		}
	}
}
