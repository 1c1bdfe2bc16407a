package awslogs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

func looking() router.Kind { return Kind(awsrouter.NewHost(nil)) }

var good = map[string]string{group: "/app/web", "awslogs-region": "eu-west-1"}

func TestOptions(t *testing.T) {
	const hidden = "h1dden"
	for _, c := range []struct {
		name             string
		options, secrets map[string]string
		want             string
	}{
		{name: "good"},
		{name: "all of Docker's", options: map[string]string{stream: "s", createGroup: "true", createStream: "false", flushInterval: "2", bufferedEvents: "10", "awslogs-endpoint": "https://vpce.example.com",
			"awslogs-credentials-endpoint": "/v2/credentials/1"}},
		{name: "prefix", options: map[string]string{streamPrefix: "app/web"}},
		{name: "prefix and stream", options: map[string]string{streamPrefix: "a", stream: "b"}, want: "both name the stream"},
		{name: "metrics", options: map[string]string{format: "json/emf"}},
		{name: "another format", options: map[string]string{format: "json"}, want: "write json/emf"},
		{name: "retention", options: map[string]string{createGroup: "true", retention: "30", class: "INFREQUENT_ACCESS"}},
		{name: "retention of days that there are not", options: map[string]string{createGroup: "true", retention: "31"}, want: "not a number of days"},
		{name: "retention of a group that is there", options: map[string]string{retention: "30"}, want: "are for a group that is created"},
		{name: "tags", options: map[string]string{createGroup: "true", groupTags: "team=blue,owner=Jürgen Müller"}},
		{name: "tags of a group that is there", options: map[string]string{groupTags: "team=blue"}, want: "are for a group that is created"},
		{name: "a tag of AWS", options: map[string]string{createGroup: "true", groupTags: "AWS:x=1"}, want: "does not begin with aws:"},
		{name: "a tag with a bracket", options: map[string]string{createGroup: "true", groupTags: "a=(b)"}, want: "a tag that CloudWatch Logs does not take"},
		{name: "a long tag", options: map[string]string{createGroup: "true", groupTags: "a=" + strings.Repeat("x", 257)}, want: "up to 256"},
		{name: "51 tags", options: map[string]string{createGroup: "true", groupTags: strings.TrimSuffix(manyTags(51), ",")}, want: "has 51 tags"},
		{name: "an authority that there is not", options: map[string]string{"awslogs-ca-cert": "x"}, want: "neither PEM text nor an absolute path"},
		{name: "another class", options: map[string]string{createGroup: "true", class: "CHEAP"}, want: "not one of STANDARD"},
		{name: "Fluent Bit's payload", options: map[string]string{"awslogs-fluent-bit": "output=cloudwatch"}},
		{name: "Fluent Bit's payload with what there is not", options: map[string]string{"awslogs-fluent-bit": "x=y"}, want: "there is no setting"},
		{name: "a group with a colon", options: map[string]string{group: "a:b"}, want: "not a name of a log group"},
		{name: "a long group", options: map[string]string{group: strings.Repeat("x", 513)}, want: "not a name of a log group"},
		{name: "a stream with a colon", options: map[string]string{stream: "a:b"}, want: "not a name of a log stream"},
		{name: "a stream with an asterisk", options: map[string]string{stream: "a*"}, want: "not a name of a log stream"},
		{name: "create-group", options: map[string]string{createGroup: "yes"}, want: "not a boolean"},
		{name: "create-stream", options: map[string]string{createStream: "maybe"}, want: "not a boolean"},
		{name: "interval of nothing", options: map[string]string{flushInterval: "0"}, want: "not a number from 1"},
		{name: "negative events", options: map[string]string{bufferedEvents: "-1"}, want: "not a number from 1"},
		{name: "region", options: map[string]string{"awslogs-region": "Ireland"}, want: "not an AWS region"},
		{name: "endpoint without a scheme", options: map[string]string{"awslogs-endpoint": "vpce.example.com"}, want: "write https://vpce.example.com"},
		{name: "path that becomes a host", options: map[string]string{"awslogs-credentials-endpoint": "@evil.example/"}, want: "not a path"},
		{name: "path behind a user", options: map[string]string{"awslogs-credentials-endpoint": "/x@evil.example/"}, want: "not a path"},
		{name: "path with two slashes", options: map[string]string{"awslogs-credentials-endpoint": "//evil.example/"}, want: "not a path"},
		{name: "role", options: map[string]string{"awslogs-role-arn": "logs"}, want: "not the ARN of a role"},
		{name: "external id alone", options: map[string]string{"awslogs-external-id": "fleet"}, want: "without awslogs-role-arn"},
		{name: "role and agent", options: map[string]string{"awslogs-role-arn": "arn:aws:iam::111122223333:role/logs", "awslogs-credentials-endpoint": "/x"}, want: "give one"},
		{name: "a pattern by reference", secrets: map[string]string{multiline: hidden}, want: "cannot be given by reference"},
		{name: "everything by reference", options: map[string]string{group: "-"}, secrets: map[string]string{group: hidden, stream: hidden, "awslogs-role-arn": hidden}},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, looking(), good, c.options, c.secrets, c.want, hidden)
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	awstest.NewHome(t)
	kind := looking()
	routertest.SecretsAreNotShown(t, kind, map[string]string{group: "g", stream: "s"}, map[string]map[string]string{"awslogs-external-id": {"awslogs-role-arn": "arn:aws:iam::111122223333:role/logs"}, streamPrefix: {stream: "-"}},
		func(o router.Option) bool { return o.Name == stream || o.Name == streamPrefix })
}

// The stream is named as Docker's driver and ECS name it.
func TestStreamNames(t *testing.T) {
	s := routertest.Session("web")
	s.Tag = "the-tag"
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{nil, "the-tag"}, {map[string]string{stream: "mine"}, "mine"}, {map[string]string{streamPrefix: "app"}, "app/web/" + strings.Repeat("w", 64)},
	} {
		all := map[string]string{group: "g"}
		for name, value := range c.options {
			all[name] = value
		}
		kind := looking()
		conf, err := kind.New(router.Options{Plain: all, Secrets: map[string]secret.Source{}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := conf.Encoder(t.Context(), s)
		if err != nil || e.(*Encoder).stream != c.want {
			t.Errorf("%v: stream %v, %v, want %s", c.options, e, err, c.want)
		}
		if c.options == nil {
			bad := s
			bad.Tag = "a:b"
			if _, err := conf.Encoder(t.Context(), bad); router.ClassOf(err) != router.ClassConfig || !strings.Contains(err.Error(), "colon") {
				t.Errorf("a tag with a colon: %v, want class config", err)
			}
		}
	}
	if kind := looking(); kind.DefaultTag != "{{.FullID}}" {
		t.Errorf("the default of the tag is %q, want Docker's", kind.DefaultTag)
	}
}

// The address is the ARN of the group, as far as it is known, and an endpoint of the options.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    string
	}{
		{nil, "arn:aws:logs:eu-west-1::log-group:/app/web"},
		{map[string]string{"awslogs-region": "cn-north-1"}, "arn:aws-cn:logs:cn-north-1::log-group:/app/web"},
		{map[string]string{"awslogs-role-arn": "arn:aws:iam::444455556666:role/logs"}, "arn:aws:logs:eu-west-1:444455556666:log-group:/app/web"},
		{map[string]string{"awslogs-endpoint": "https://vpce.example.com"}, "arn:aws:logs:eu-west-1::log-group:/app/web https://vpce.example.com:443"},
	} {
		all := map[string]string{}
		for _, m := range []map[string]string{good, c.options} {
			for name, value := range m {
				all[name] = value
			}
		}
		kind := looking()
		v := router.Options{Plain: all}.Unresolved()
		var texts []string
		for _, a := range kind.Addresses(v) {
			texts = append(texts, a.String())
		}
		if got := strings.Join(texts, " "); got != c.want || v.Err() != nil {
			t.Errorf("%v: %q, %v, want %q", c.options, got, v.Err(), c.want)
		}
	}
}

// manyTags returns n tags.
func manyTags(n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf("t%d=v,", i)
	}
	return text
}
