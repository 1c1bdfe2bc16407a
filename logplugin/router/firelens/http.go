package firelens

import (
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
)

func httpOutput() output {
	return output{
		names: []string{"http"}, router: "http", tls: prefixTLS("http"), build: buildHTTP,
		options: slices.Concat(oauthOptions(), signingRefused(), gelfKeys(), []option{
			{name: "aws_auth"}, {name: "aws_service"}, {name: "aws_region"}, {name: "aws_role_arn"}, {name: "aws_external_id"},
			{name: "uri"}, {name: "format"}, {name: "header", repeats: true},
			{name: "json_date_key", setting: true}, {name: "json_date_format"},
			{name: "http_user", to: "http-user"}, {name: "http_passwd", to: "http-password"},
			{name: "compress"}, {name: "http_method"}, {name: "http.response_timeout", form: ignored},
			{name: "allow_duplicated_headers"}, {name: "log_response_payload", form: ignored},
			{name: "header_tag", to: "http-header-tag"},
			{name: "body_key", form: refused, why: noHeaders}, {name: "headers_key", form: refused, why: noHeaders},
			{name: "http.read_idle_timeout", form: ignored},
		}),
	}
}

// noHeaders says what becomes of records with body_key and headers_key, which Fluent Bit only takes together.
const noHeaders = "the member that headers_key names has to be a map of headers, a container's records have none, and Fluent Bit sends nothing; " +
	"give Header, and Format, or logDriver=http with http-format=raw for the line alone"

// oauthOptions are those with which Fluent Bit asks for a token.
func oauthOptions() []option {
	return append(options(refusedOn, "give a token as the header Authorization", "oauth2.enable"), options(refused, "give a token as the header Authorization", "oauth2.token_url", "oauth2.client_id", "oauth2.client_secret", "oauth2.user_agent",
		"oauth2.scope", "oauth2.audience", "oauth2.resource", "oauth2.auth_method", "oauth2.jwt_key_file", "oauth2.jwt_cert_file", "oauth2.jwt_aud", "oauth2.jwt_header",
		"oauth2.jwt_ttl_seconds", "oauth2.refresh_skew_seconds", "oauth2.timeout", "oauth2.connect_timeout")...)
}

func buildHTTP(t *translation) {
	t.setting(fluentbit.Output, "http")
	t.set("http-url", t.address("http", "https", "127.0.0.1", "80"))
	t.protect("http_passwd", "header")
	t.signing("http", "aws_service")
	if t.isSecret("uri") {
		t.protect("uri")
	}
	if e := t.find("uri"); e != nil {
		if !e.secret && !strings.HasPrefix(e.value, "/") {
			e.value = "/" + e.value
		}
		t.carry(*e, "http-uri", false)
	}
	format := t.oneOf("format", "json", "json_lines", "json_stream", "msgpack", "gelf")
	if format == "gelf" {
		t.gelfKeys()
	}
	if !t.has("format") {
		t.note("Format is not given and is json, as in Fluent Bit since 3.0; images of AWS for Fluent Bit up to 2.x send msgpack")
	}
	t.set("http-format", format)
	t.date("json_date_format")
	t.set("http-method", strings.ToUpper(t.oneOf("http_method", "post", "put")))
	t.set("http-compress", t.oneOf("compress", "", "gzip", "zstd", "snappy"))
	t.headers("http-header", "http-bearer-token", !t.is("allow_duplicated_headers", true))
}

// date gives the setting of that name, which is a form of time.
func (t *translation) date(name string) {
	if t.has(name) {
		t.setting(name, t.dateForm(name))
	}
}

// dateForm returns the form of time that an option names.
func (t *translation) dateForm(name string) string { return t.oneOf(name, fluentbit.DateForms()...) }

// headers gives the option header, which may stand several times as NAME VALUE, to a family of options. A secret that is a bearer token
// goes into the option bearer, if there is one.
func (t *translation) headers(family, bearer string, replaceType bool) {
	for _, e := range t.all("header") {
		name, value, _ := strings.Cut(e.whole(), " ")
		if e.secret {
			name, value, _ = strings.Cut(e.before, " ")
			switch {
			case name == "":
				t.fail("%s is a whole header in a secret; write its name into the option, as in \"Header Authorization\", and store its value alone", e.key)
			case value == "":
				t.refs[family+"."+name] = e.value
			case strings.EqualFold(name, "Authorization") && strings.EqualFold(strings.TrimSpace(value), "Bearer") && bearer != "":
				t.refs[bearer] = e.value
			default:
				t.carry(e, "", false)
			}
			continue
		}
		value = strings.TrimSpace(value)
		switch {
		case value == "":
			t.fail("%s has no value; write NAME VALUE", e.key)
		case strings.EqualFold(name, "Content-Type"):
			if replaceType {
				t.set(family+".Content-Type", value)
			} else {
				t.note("the header Content-Type has no effect: it is that of Format")
			}
		case strings.EqualFold(name, "Content-Encoding"):
			t.fail("the header Content-Encoding belongs to the option compress; give that")
		case t.plain[family+"."+name] != "":
			t.fail("the header %s is given twice; keep one", name)
		case strings.Contains(value, "${"):
			t.expand(entry{key: e.key, value: value}, false)
		default:
			t.set(family+"."+name, value)
		}
	}
}
