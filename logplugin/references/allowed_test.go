package references

import (
	"strings"
	"testing"
)

const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf"

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		name      string
		patterns  []string
		reference string
		ok        bool
	}{
		{"no list", nil, arn, true},
		{"empty list", []string{}, arn, false},
		{"everything", []string{"*"}, arn, true},
		{"everything, a name", []string{"*"}, "/logs/token", true},
		{"the ARN itself", []string{arn}, arn, true},
		{"the suffix does not count", []string{arn}, arn + ":token:AWSPREVIOUS:", true},
		{"any region and account", []string{"arn:aws:secretsmanager:*:*:secret:prod/*"}, arn + ":token::", true},
		{"a star passes slashes", []string{"arn:aws:secretsmanager:*:*:secret:*-AbCdEf"}, arn, true},
		{"six signs", []string{"arn:aws:secretsmanager:*:*:secret:prod/splunk-??????"}, arn, true},
		{"five signs", []string{"arn:aws:secretsmanager:*:*:secret:prod/splunk-?????"}, arn, false},
		{"a star passes no colon", []string{"arn:*:secret:prod/splunk-AbCdEf"}, arn, false},
		{"another account", []string{"arn:aws:secretsmanager:*:444455556666:secret:*"}, arn, false},
		{"another name", []string{"arn:aws:secretsmanager:*:*:secret:logs/*"}, arn, false},
		{"a beginning is not enough", []string{"arn:aws:secretsmanager:*:*:secret:prod"}, arn, false},
		{"case counts", []string{strings.ToUpper(arn)}, arn, false},
		{"one of several", []string{"/a", arn}, arn, true},
		{"a parameter by name", []string{"/logs/*"}, "/logs/a/token", true},
		{"a parameter's version does not count", []string{"/logs/token"}, "/logs/token:3", true},
		{"a parameter by ARN", []string{"arn:aws:ssm:*:111122223333:parameter/logs/*"}, "arn:aws:ssm:eu-west-1:111122223333:parameter/logs/t:3", true},
		{"ARN patterns are not for names", []string{"arn:aws:ssm:*:*:parameter/*"}, "/logs/token", false},
		{"an object", []string{"arn:aws:s3:::bucket/app/*"}, "arn:aws:s3:::bucket/app/a/token", true},
		{"an object elsewhere in the bucket", []string{"arn:aws:s3:::bucket/app/*"}, "arn:aws:s3:::bucket/other", false},
		{"an object of a longer bucket", []string{"arn:aws:s3:::bucket*"}, "arn:aws:s3:::bucket-2/a", true},
		{"a colon in a key", []string{"arn:aws:s3:::bucket/*"}, "arn:aws:s3:::bucket/a:b", false},
		{"name patterns are not for ARNs", []string{"/*"}, "arn:aws:ssm:eu-west-1:111122223333:parameter/logs/t", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref, err := Parse(c.reference)
			if err != nil {
				t.Fatal(err)
			}
			err = Allowed{c.patterns, "allow_references in [logs]", ""}.Check(ref)
			if (err == nil) != c.ok {
				t.Fatalf("%q with %q: %v, want ok %v", c.reference, c.patterns, err, c.ok)
			}
			if err != nil && !strings.Contains(err.Error(), "allow_references") {
				t.Errorf("error %q does not name the setting", err)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "abc", true}, {"a*", "a", true}, {"?", "", false}, {"?", ":", false},
		{"*b*c", "abxbc", true}, {"*b*c", "abxbcd", false}, {"a*:c", "ab:c", true}, {"a*c", "ab:c", false}, {"*:*", "a:b:c", false},
		{"*ab", "aab", true}, {"a*b*:c", "abb:c", true}, {"a*b*:c", "ab:cb:c", false}, {"a?c*", "abc", true},
	} {
		if got := Match(c.pattern, c.text, ":"); got != c.want {
			t.Errorf("Match(%q, %q) = %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}
