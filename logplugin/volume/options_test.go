package volume

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/references"
)

const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"

func TestParse(t *testing.T) {
	ref, err := references.Parse(arn)
	if err != nil {
		t.Fatal(err)
	}
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprint("secrets.f", i)] = arn
	}
	tooMany := map[string]string{}
	for i := range 10000 {
		tooMany[fmt.Sprint("secrets.f", i)] = arn
	}
	const canary = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
	for _, c := range []struct {
		name    string
		options map[string]string
		want    Spec
		err     string
	}{
		{"one", map[string]string{"secrets.db": arn}, Spec{Files: []File{{"db", ref}}, Mode: 0o444, UID: -1, GID: -1, Failure: FailureAuto}, ""},
		{"list", map[string]string{"secrets": `[{"name":"b","valueFrom":"` + arn + `"},{"name":"a","valueFrom":"` + arn + `"}]`},
			Spec{Files: []File{{"a", ref}, {"b", ref}}, Mode: 0o444, UID: -1, GID: -1, Failure: FailureAuto}, ""},
		{"all", map[string]string{"secrets.db": arn, "mode": "0400", "uid": "1000", "gid": "7", "secret-failure": "fail"},
			Spec{Files: []File{{"db", ref}}, Mode: 0o400, UID: 1000, GID: 7, Failure: FailureFail}, ""},
		{"none", nil, Spec{}, "docker volume create first"},
		{"no secret", map[string]string{"mode": "0400"}, Spec{}, "no option names a secret"},
		{"both", map[string]string{"secrets": `{"name":"db","valueFrom":"/a"}`, "secrets.db": arn}, Spec{}, "twice"},
		{"near", map[string]string{"secrets.db": arn, "mod": "0400"}, Spec{}, "did you mean mode?"},
		{"near a reference", map[string]string{"secretz.db": arn}, Spec{}, "did you mean secrets.FILE?"},
		{"mode", map[string]string{"secrets.db": arn, "mode": "0755"}, Spec{}, "option mode is not"},
		{"setuid", map[string]string{"secrets.db": arn, "mode": "04444"}, Spec{}, "option mode is not"},
		{"uid", map[string]string{"secrets.db": arn, "uid": "-1"}, Spec{}, "option uid is not a number"},
		{"failure", map[string]string{"secrets.db": arn, "secret-failure": "x"}, Spec{}, "auto, fail or start"},
		{"up", map[string]string{"secrets...": arn}, Spec{}, "file name"},
		{"data", map[string]string{"secrets...data": arn}, Spec{}, "file name"},
		{"slash", map[string]string{"secrets.a/b": arn}, Spec{}, "file name"},
		{"dot", map[string]string{"secrets..": arn}, Spec{}, "file name"},
		{"empty", map[string]string{"secrets.": arn}, Spec{}, "file name"},
		{"long", map[string]string{"secrets." + strings.Repeat("x", 201): arn}, Spec{}, "file name"},
		{"65 files", many, Spec{}, "name 65 files"},
		{"10,000 files", tooMany, Spec{}, "10000 options"},
		{"a value", map[string]string{"secrets.db": canary}, Spec{}, "looks like a token"},
		{"large", map[string]string{"secrets.db": strings.Repeat(canary, 1000)}, Spec{}, "longer than"},
		{"large list", map[string]string{"secrets": strings.Repeat("[", 1<<20)}, Spec{}, "too long"},
		{"large name", map[string]string{strings.Repeat("x", 1<<20): arn}, Spec{}, "unknown volume option"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.options)
			switch {
			case c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)):
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), canary) || len(err.Error()) > 1000):
				t.Errorf("%v, want an error with %q that does not show a value", err, c.err)
			}
		})
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "app-1_x.y": true, "": false, ".": false, "..": false, "../x": false, "a/b": false, "-a": false,
		strings.Repeat("a", 201): false, strings.Repeat("0", 64): true, "a\n": false} {
		if err := checkName(name); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", name, err, ok)
		}
	}
}
