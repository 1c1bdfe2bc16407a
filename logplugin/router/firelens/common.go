package firelens

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// agentOptions are read by the ECS agent or by Docker, and never reach Fluent Bit. The value says what becomes of one here: "" means
// that it is kept under its name.
var agentOptions = map[string]string{
	"enable-ecs-log-metadata": "what ECS adds comes from the container's labels",
	"log-driver-buffer-limit": "lines wait in the spool, whose limit is spool-max-bytes",
	"include-pattern":         "", "exclude-pattern": "",
	"config-file-type":  "a custom Fluent Bit configuration is not read; give the options of its [OUTPUT] here, or run that Fluent Bit on the host and send to it with Name=forward",
	"config-file-value": "a custom Fluent Bit configuration is not read; give the options of its [OUTPUT] here, or run that Fluent Bit on the host and send to it with Name=forward",
}

// commonOptions are those of every output. Here most have no effect, because lines wait in the spool and go out in batches.
var commonOptions = []option{
	{name: "match"}, {name: "match_regex", form: refused, why: "all lines of the container are sent; use include-pattern"},
	{name: "alias", form: ignored}, {name: "log_level", form: ignored}, {name: "log_suppress_interval", form: ignored},
	{name: "retry_limit"}, {name: "workers", form: ignored}, {name: "storage.total_limit_size", form: ignored},
	{name: "host"}, {name: "port"}, {name: "ipv6", form: ignored},
	{name: "tls"}, {name: "tls.verify"}, {name: "tls.vhost"}, {name: "tls.ca_file"}, {name: "tls.crt_file"}, {name: "tls.key_file"},
	{name: "tls.verify_hostname", form: ignored}, {name: "tls.debug", form: ignored}, {name: "tls.min_version", form: ignored},
	{name: "tls.max_version", form: ignored}, {name: "tls.ciphers", form: ignored},
	{name: "tls.proxy.verify", form: ignored, why: "the certificate of a proxy is always verified"}, {name: "tls.proxy.verify_hostname", form: ignored, why: "the certificate of a proxy is always verified"},
	{name: "tls.proxy.ca_path", form: refused, why: "add the authority of the proxy to the host's own"}, {name: "tls.proxy.ca_file", form: refused, why: "add the authority of the proxy to the host's own"},
	{name: "tls.windows.certstore_name", form: refused, why: "it is for Windows"}, {name: "tls.windows.use_enterprise_store", form: refused, why: "it is for Windows"},
	{name: "tls.windows.client_thumbprints", form: refused, why: "it is for Windows"},
	{name: "net.tcp_keepalive", form: ignored}, {name: "net.tcp_keepalive_time", form: ignored}, {name: "net.tcp_keepalive_interval", form: ignored}, {name: "net.tcp_keepalive_probes", form: ignored},
	{name: "tls.ca_path", form: refused, why: "give one file of certificates in tls.ca_file"},
	{name: "tls.key_passwd", form: refused, why: "store the key without a password, as a secret, and name it as tls.key_file in secretOptions"},
	{name: "net.connect_timeout", form: ignored}, {name: "net.io_timeout", form: ignored}, {name: "net.keepalive", form: ignored},
	{name: "net.keepalive_idle_timeout", form: ignored}, {name: "net.keepalive_max_recycle", form: ignored},
	{name: "net.max_worker_connections", form: ignored}, {name: "net.connect_timeout_log_error", form: ignored},
	{name: "net.dns.mode", form: ignored}, {name: "net.dns.resolver", form: ignored}, {name: "net.dns.prefer_ipv4", form: ignored},
	{name: "net.dns.prefer_ipv6", form: ignored}, {name: "net.proxy_env_ignore", form: refusedOn, why: "set NO_PROXY in the log driver's environment"},
	{name: "net.source_address", form: refused, why: "the system chooses the source address; use a route"},
	{name: "proxy", form: refused, why: "set HTTPS_PROXY and NO_PROXY in the log driver's environment"},
}

// tlsOptions are the names of the router's own TLS options; "" means that it has none.
type tlsOptions struct {
	ca, cert, key, serverName, skipVerify string
	always                                bool // the output always uses TLS
}

func prefixTLS(prefix string) tlsOptions {
	return tlsOptions{
		ca: prefix + "-ca-cert", cert: prefix + "-client-cert", key: prefix + "-client-key",
		serverName: prefix + "-tls-server-name", skipVerify: prefix + "-insecure-skip-verify",
	}
}

// common reads what every output has and what the agent reads.
func (t *translation) common() {
	for _, e := range t.entries {
		effect, agents := agentOptions[e.name]
		switch {
		case agents && e.secret:
			t.fail("%s cannot be in secretOptions", e.key)
		case !agents:
		case effect == "":
			t.plain[e.name] = e.whole()
		case strings.HasPrefix(e.name, "config-file"):
			t.fail("%s: %s", e.key, effect)
		case e.name == "log-driver-buffer-limit" && !isNumber(e.whole()):
			t.fail("%s is %q, which is not a number of bytes", e.key, e.whole())
		case e.name == "enable-ecs-log-metadata" && !slices.Contains([]string{"true", "false"}, strings.ToLower(e.whole())):
			t.fail("%s is %q; write true or false", e.key, e.whole())
		case e.name == "enable-ecs-log-metadata": // see withMetadata
		default:
			t.note("%s has no effect: %s", e.key, effect)
		}
		if o := t.out.option(e.name); o != nil && o.form == ignored && o.why == "" {
			t.note("%s has no effect here", e.key)
		} else if o != nil && o.form == ignored {
			t.note("%s has no effect: %s", e.key, o.why)
		}
	}
	if match := t.text("match", "*"); match != "*" && !strings.Contains(match, "-firelens") {
		t.fail("Match is %q, with which Fluent Bit would send nothing; remove it", match)
	}
	if limit := strings.ToLower(t.text("retry_limit", "1")); !isNumber(limit) && !slices.Contains([]string{"false", "off", "no_limits", "no_retries"}, limit) {
		t.fail("Retry_Limit is %q; write a number from 1 on, no_limits or no_retries", limit)
	} else if t.has("retry_limit") {
		t.note("Retry_Limit has no effect: lines wait in the spool until the receiver takes them")
	}
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}

// secure reads the TLS options.
func (t *translation) secure() {
	if t.out.tls == (tlsOptions{}) {
		return // nothing is sent
	}
	if t.tls = t.is("tls", t.out.tls.always); !t.tls && t.out.tls.always {
		t.note("tls off has no effect: this output always uses TLS")
		t.tls = true
	}
	if t.out.option("mode") != nil && strings.EqualFold(t.text("mode", ""), "tls") {
		t.tls = true
	}
	for _, x := range []struct{ name, to string }{
		{"tls.ca_file", t.out.tls.ca}, {"tls.crt_file", t.out.tls.cert}, {"tls.key_file", t.out.tls.key}, {"tls.vhost", t.out.tls.serverName},
	} {
		e := t.find(x.name)
		switch {
		case e == nil:
		case !t.tls:
			t.note("%s has no effect without tls on", e.key)
		default:
			t.carry(*e, x.to, false)
		}
	}
	if verify := t.is("tls.verify", true); !verify && t.tls {
		t.set(t.out.tls.skipVerify, "true")
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$`)

// address returns SCHEME://HOST:PORT of the options Host and Port. An empty port is left out.
func (t *translation) address(plain, secure, host, port string) string {
	return t.addressOf("host", "port", plain, secure, host, port)
}

// addressOf is address for an output whose options for the two have other names.
func (t *translation) addressOf(hostOption, portOption, plain, secure, host, port string) string {
	e := t.find(hostOption)
	if e != nil && e.secret {
		t.fail("%s cannot be in secretOptions here, because allow_routers is about hosts; write it into options", e.key)
		return ""
	}
	host = t.text(hostOption, host)
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && ip.Is6() {
		host = "[" + ip.String() + "]"
	} else if !hostName.MatchString(host) {
		t.fail("%s is not the name of a host alone; write it without a scheme, a port or a path, and give the port, the path and tls as options of their own", e.key)
		return ""
	}
	if port = t.text(portOption, port); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			t.fail("%s is not a number from 1 to 65535", t.find(portOption).key)
			return ""
		}
		port = ":" + port
	}
	scheme := plain
	if t.tls {
		scheme = secure
	}
	return scheme + "://" + host + port
}

// protect refuses to send the named credentials, if they are given, without TLS to another host.
func (t *translation) protect(credentials ...string) { t.protectAlways("127.0.0.1", credentials...) }

// protectAlways is protect for an output that sends to the host def when none is given.
func (t *translation) protectAlways(def string, credentials ...string) {
	host := t.text("host", def)
	if ip, err := netip.ParseAddr(host); t.tls || host == "localhost" || err == nil && ip.IsLoopback() {
		return
	}
	for _, name := range credentials {
		if e := t.find(name); e != nil {
			t.fail("%s would be sent to %s without encryption, which Fluent Bit does in silence; write tls=on", e.key, host)
			return
		}
	}
}

// variable is ${NAME} in a value.
var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

// variables are those that may stand in an option that is a template here. ECS_TASK_ID and ECS_CLUSTER are of the image of AWS with an init
// process, which sets AWS_REGION too: see hostRegion.
var variables = map[string]string{"CONTAINER_NAME": "{{.Name}}", "CONTAINER_ID": "{{.FullID}}", "CONTAINER_IMAGE": "{{.ImageName}}", "HOSTNAME": "{{.Hostname}}",
	"ECS_TASK_ID": "{{.FullID}}", "ECS_CLUSTER": clusterName}

// expand returns the value of an entry with its variables. Fluent Bit puts nothing in the place of one that it does not know.
func (t *translation) expand(e entry, asTemplate bool) string {
	value := e.whole()
	if asTemplate {
		value = strings.ReplaceAll(value, "{{", `{{"{{"}}`)
	}
	return variable.ReplaceAllStringFunc(value, func(found string) string {
		name := found[2 : len(found)-1]
		switch with, known := variables[name]; {
		case strings.HasPrefix(name, "label:") && asTemplate:
			return labelOf(strings.TrimPrefix(name, "label:"))
		case known && asTemplate:
			return with
		case known:
			t.fail("%s has %s, and can have no variable here: all containers with it share one connection; write the value", e.key, found)
		default:
			t.fail("%s has %s, which is not known here; known are ${CONTAINER_NAME}, ${CONTAINER_ID}, ${CONTAINER_IMAGE}, ${HOSTNAME}, ${ECS_CLUSTER}, ${ECS_TASK_ID}, which is the container's id, and ${label:NAME}", e.key, found)
		}
		return found
	})
}
