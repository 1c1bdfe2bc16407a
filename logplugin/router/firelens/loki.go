package firelens

import (
	"net"
	"net/url"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

func lokiOutput() output {
	return output{
		names: []string{"loki"}, router: "loki", tls: prefixTLS("loki"),
		options: []option{
			{name: "uri"}, {name: "tenant_id", to: "loki-tenant-id"}, {name: "http_user", to: "loki-user"}, {name: "http_passwd", to: "loki-password"},
			{name: "bearer_token", to: "loki-bearer-token"}, {name: "labels"}, {name: "label_keys", setting: true}, {name: "remove_keys", setting: true},
			{name: "structured_metadata", setting: true}, {name: "line_format"}, {name: "drop_single_key"}, {name: "compress"},
			{name: "buffer_size", form: ignored}, {name: "tenant_id_key_error_handling", form: ignored}, {name: "auto_kubernetes_labels", form: ignored},
			{name: "label_map_path", form: refused, why: "give labels and label_keys"}, {name: "tenant_id_key", form: refused, why: "give tenant_id"},
			{name: "structured_metadata_map_keys", form: refused, why: "give structured_metadata"}, {name: "header", form: refused, repeats: true, why: "give tenant_id, http_user or bearer_token"},
		},
		build: func(t *translation) {
			t.setting(fluentbit.Output, "loki")
			t.protect("http_passwd", "bearer_token")
			path := t.text("uri", "")
			if path != "" && !strings.HasSuffix(path, "/push") {
				t.fail("the path in uri does not end in /push, as that of Loki does: /loki/api/v1/push")
			}
			t.set("loki-url", t.address("http", "https", "127.0.0.1", "3100")+path)
			t.set("loki-encoding", "json")
			t.setting("labels", t.text("labels", "job=fluent-bit"))
			t.setting("line_format", t.oneOf("line_format", "json", "key_value"))
			if word := t.oneOf("drop_single_key", "off", "on", "raw", "true", "false"); word == "raw" {
				t.setting("drop_single_key", word)
			} else if t.is("drop_single_key", false) {
				t.setting("drop_single_key", "on")
			}
			if t.compression("gzip") != "" {
				t.note("compress has no effect: JSON is always sent with gzip")
			}
		},
	}
}

func grafanaLokiOutput() output {
	return output{
		names: []string{"grafana-loki"}, router: "loki", tls: alwaysTLS("loki"),
		options: []option{
			{name: "url"}, {name: "tenantid", to: "loki-tenant-id"}, {name: "batchwait", form: ignored}, {name: "batchsize", form: ignored}, {name: "timeout", form: ignored},
			{name: "minbackoff", form: ignored}, {name: "maxbackoff", form: ignored}, {name: "maxretries", form: ignored}, {name: "labels"}, {name: "labelkeys"},
			{name: "removekeys"}, {name: "lineformat"}, {name: "dropsinglekey"}, {name: "autokuberneteslabels", form: ignored}, {name: "loglevel", form: ignored},
			{name: "buffer", form: ignored}, {name: "buffertype", form: ignored}, {name: "dquedir", form: ignored}, {name: "dquesegmentsize", form: ignored},
			{name: "dquesync", form: ignored}, {name: "dquename", form: ignored}, {name: "ca_file", to: "loki-ca-cert"}, {name: "cert_file", to: "loki-client-cert"},
			{name: "key_file", to: "loki-client-key"}, {name: "insecure_skip_verify", form: toggle, to: "loki-insecure-skip-verify"},
			{name: "labelmappath", form: refused, why: "give Labels and LabelKeys"},
		},
		build: func(t *translation) {
			t.setting(fluentbit.Output, "grafana-loki")
			t.grafanaURL()
			t.setting("labels", braces(t, t.text("labels", `{job="fluent-bit"}`)))
			t.setting("label_keys", t.text("labelkeys", ""))
			t.setting("remove_keys", t.text("removekeys", ""))
			t.setting("line_format", t.oneOf("lineformat", "json", "key_value"))
			if t.is("dropsinglekey", true) {
				t.setting("drop_single_key", "raw")
			}
		},
	}
}

// grafanaURL reads the address of Loki, in which a user and a password may stand.
func (t *translation) grafanaURL() {
	e := t.find("url")
	if e == nil {
		t.set("loki-url", "http://localhost:3100/loki/api/v1/push")
		return
	}
	if e.secret {
		t.note("%s is a secret: it is the address alone, and a user and a password in it are refused; give those as logDriver=loki does", e.key)
		t.carry(*e, "loki-url", false)
		return
	}
	u, err := url.Parse(t.text("url", ""))
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		t.fail("%s is not a URL; write https://HOST/loki/api/v1/push", e.key)
		return
	}
	if u.User != nil {
		password, _ := u.User.Password()
		t.set("loki-user", u.User.Username())
		t.set("loki-password", password)
		t.note("the password in %s is shown by docker inspect; store it, and use logDriver=loki with secretOptions.loki-password", e.key)
		if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && !ip.IsLoopback() {
			t.fail("%s has a password and no TLS, and it would be sent without encryption; write https://", e.key)
			return
		}
		u.User = nil
	}
	t.set("loki-url", u.String())
}

// braces reads labels as LogQL writes them, {a="b",c="d"}, and returns them as pairs.
func braces(t *translation, text string) string {
	inner, ok := strings.CutPrefix(strings.TrimSpace(text), "{")
	inner, closed := strings.CutSuffix(inner, "}")
	var pairs []router.Pair
	for rest := strings.TrimSpace(inner); ok && closed && rest != ""; {
		name, value, found := strings.Cut(rest, "=")
		value = strings.TrimSpace(value)
		end := strings.Index(strings.TrimPrefix(value, `"`), `"`) + 1
		if !found || !strings.HasPrefix(value, `"`) || end < 1 {
			ok = false
			break
		}
		pairs = append(pairs, router.Pair{Name: strings.TrimSpace(name), Value: value[1:end]})
		rest = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(value[end+1:]), ","))
	}
	if !ok || !closed {
		t.fail(`Labels are not {NAME="VALUE",NAME="VALUE"}`)
	}
	return router.JoinPairs(pairs)
}
