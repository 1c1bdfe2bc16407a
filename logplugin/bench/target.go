package main

// target is a receiver as the options of a log driver name it.
type target struct {
	router string // "splunk", "fluentd"
	gzip   bool
	tls    bool
}

func (t target) String() string {
	s := t.router
	if t.gzip {
		s += ", gzip"
	}
	if t.tls {
		s += ", TLS"
	}
	return s
}

// targets are all that are measured.
var targets = []target{
	{router: "splunk"}, {router: "splunk", gzip: true}, {router: "fluentd"},
	{router: "splunk", tls: true}, {router: "splunk", gzip: true, tls: true}, {router: "fluentd", tls: true},
}

// docker reports whether Docker's own driver, of the version that is measured, can do the same.
func (t target) docker() bool { return t.router != "fluentd" || !t.tls }

// options are those that Docker's own driver and ours both know; the token is not among them.
func (w *world) options(t target) map[string]string {
	switch {
	case t.router == "fluentd" && t.tls:
		return map[string]string{"fluentd-address": "tls://" + w.address["forwardTLS"], "fluentd-tls-ca-cert": w.path("ca.pem")}
	case t.router == "fluentd":
		return map[string]string{"fluentd-address": w.address["forward"]}
	}
	o := map[string]string{"splunk-url": "http://" + w.address["hec"]}
	if t.tls {
		o["splunk-url"], o["splunk-capath"] = "https://"+w.address["hecTLS"], w.path("ca.pem")
	}
	if t.gzip {
		o["splunk-gzip"] = "true"
	}
	return o
}

// ourOptions are those of a container that uses our driver.
func (w *world) ourOptions(t target) map[string]string {
	o := w.options(t)
	o["logDriver"] = t.router
	if t.router == "splunk" {
		o["secretOptions.splunk-token"] = w.arn + ":token::"
	}
	return o
}

// dockerOptions are those of a container that uses Docker's driver.
func (w *world) dockerOptions(t target) map[string]string {
	o := w.options(t)
	if t.router == "splunk" {
		o["splunk-token"] = token
	}
	return o
}
