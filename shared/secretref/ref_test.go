package secretref

import (
	"errors"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/fault"
)

const (
	sm  = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"
	par = "arn:aws:ssm:eu-west-1:111122223333:"
	id  = "9d4cb84b-ad69-40c0-a0ab-cead3EXAMPLE"
)

func smRef(name, key, stage, version string) Ref {
	return Ref{SecretsManager, "aws", "eu-west-1", "111122223333", name, key, stage, version, ""}
}

func ssmRef(name, selector string) Ref {
	return Ref{SSM, "aws", "eu-west-1", "111122223333", name, "", "", "", selector}
}

func object(name string) Ref { return Ref{Service: S3, Partition: "aws", Name: name} }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in  string
		want      Ref
		canonical string // "" = in
		sent      string // SecretId or one of Names
	}{
		{"whole secret", sm + "db-AbCdEf", smRef("db-AbCdEf", "", "", ""), "", sm + "db-AbCdEf"},
		{"empty suffix", sm + "db-AbCdEf:::", smRef("db-AbCdEf", "", "", ""), sm + "db-AbCdEf", sm + "db-AbCdEf"},
		{"key", sm + "db-AbCdEf:user::", smRef("db-AbCdEf", "user", "", ""), "", sm + "db-AbCdEf"},
		{"stage", sm + "db-AbCdEf::AWSPREVIOUS:", smRef("db-AbCdEf", "", "AWSPREVIOUS", ""), "", sm + "db-AbCdEf"},
		{"version id", sm + "db-AbCdEf:::" + id, smRef("db-AbCdEf", "", "", id), "", sm + "db-AbCdEf"},
		{"key and stage", sm + "db:k:s:", smRef("db", "k", "s", ""), "", sm + "db"},
		{"key and version id", sm + "db:k::" + id, smRef("db", "k", "", id), "", sm + "db"},
		{"stage and version id", sm + "db::s:" + id, smRef("db", "", "s", id), "", sm + "db"},
		{"all three", sm + "db:k:s:" + id, smRef("db", "k", "s", id), "", sm + "db"},
		{"key with blank and dot", sm + "db:my key.x::", smRef("db", "my key.x", "", ""), "", sm + "db"},
		{"name with every sign", sm + "a/b_c+d=e.f@g!h-i", smRef("a/b_c+d=e.f@g!h-i", "", "", ""), "", sm + "a/b_c+d=e.f@g!h-i"},
		{"parameter path", par + "parameter/a/b/c", ssmRef("/a/b/c", ""), "", par + "parameter/a/b/c"},
		{"parameter without path", par + "parameter/a", ssmRef("a", ""), "", par + "parameter/a"},
		{"parameter as in the ECS docs", par + "parameter:/a/b", ssmRef("/a/b", ""), par + "parameter/a/b", par + "parameter/a/b"},
		{"one level with slash", par + "parameter:/a", ssmRef("/a", ""), "", par + "parameter/a"},
		{"parameter version", par + "parameter/a/b:3", ssmRef("/a/b", "3"), "", par + "parameter/a/b:3"},
		{"parameter label", par + "parameter/a:prod", ssmRef("a", "prod"), "", par + "parameter/a:prod"},
		{"bare path", "/a/b", Ref{Service: SSM, Name: "/a/b"}, "", "/a/b"},
		{"bare name", "a", Ref{Service: SSM, Name: "a"}, "", "a"},
		{"bare name with version", "a:12", Ref{Service: SSM, Name: "a", Selector: "12"}, "", "a:12"},
		{"secret through Parameter Store", "/aws/reference/secretsmanager/a+b@c", Ref{Service: SSM, Name: "/aws/reference/secretsmanager/a+b@c"}, "", "/aws/reference/secretsmanager/a+b@c"},
		{"object", "arn:aws:s3:::bucket/app.env", object("bucket/app.env"), "", "bucket app.env"},
		{"object in a folder", "arn:aws:s3:::my.bucket-1/a/b c+d", object("my.bucket-1/a/b c+d"), "", "my.bucket-1 a/b c+d"},
		{"object with colons", "arn:aws:s3:::bucket/a:b::", object("bucket/a:b::"), "", "bucket a:b::"},
		{"object with slashes", "arn:aws:s3:::bucket//a//b", object("bucket//a//b"), "", "bucket /a//b"},
		{"object with dots in it", "arn:aws:s3:::bucket/..a/...", object("bucket/..a/..."), "", "bucket ..a/..."},
		{"object with a name in another script", "arn:aws:s3:::bucket/schlüssel", object("bucket/schlüssel"), "", "bucket schlüssel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.in)
			if err != nil || got != c.want {
				t.Fatalf("Parse(%q) = %+v, %v, want %+v", c.in, got, err, c.want)
			}
			canonical := c.canonical
			if canonical == "" {
				canonical = c.in
			}
			if s := got.String(); s != canonical {
				t.Errorf("String = %q, want %q", s, canonical)
			}
			sent := got.SecretID()
			switch got.Service {
			case SSM:
				sent = got.ParameterName()
			case S3:
				bucket, key := got.Object()
				sent = bucket + " " + key
			}
			if sent != c.sent {
				t.Errorf("sends %q, want %q", sent, c.sent)
			}
		})
	}
}

func TestParsePartitions(t *testing.T) {
	for _, p := range []struct{ partition, region string }{
		{"aws", "us-east-1"}, {"aws", "ap-southeast-4"}, {"aws", "mx-central-1"}, {"aws-cn", "cn-northwest-1"},
		{"aws-us-gov", "us-gov-west-1"}, {"aws-iso", "us-iso-east-1"}, {"aws-iso-b", "us-isob-east-1"},
		{"aws-iso-e", "eu-isoe-west-1"}, {"aws-iso-f", "us-isof-south-1"}, {"aws-eusc", "eusc-de-east-1"},
	} {
		for _, rest := range []string{"secretsmanager:R:111122223333:secret:a-AbCdEf:k::", "ssm:R:111122223333:parameter/a/b", "s3:::bucket/key"} {
			in := "arn:" + p.partition + ":" + strings.Replace(rest, ":R:", ":"+p.region+":", 1)
			r, err := Parse(in)
			if err != nil || r.Partition != p.partition || r.Service != S3 && r.Region != p.region || r.String() != in {
				t.Errorf("Parse(%q) = %+v, %v", in, r, err)
			}
		}
	}
}

func TestParseCredentialsParameter(t *testing.T) {
	for in, want := range map[string]Ref{
		"corp/registry":            {Service: SecretsManager, Name: "corp/registry"},
		"/corp/registry":           {Service: SecretsManager, Name: "/corp/registry"},
		sm + "a-AbCdEf":            smRef("a-AbCdEf", "", "", ""),
		sm + "a-AbCdEf:k::":        smRef("a-AbCdEf", "k", "", ""),
		par + "parameter/quay/tok": ssmRef("/quay/tok", ""),
	} {
		got, err := ParseCredentialsParameter(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("ParseCredentialsParameter(%q) = %+v (%s), %v, want %+v", in, got, got, err, want)
		}
	}
	if r, err := ParseCredentialsParameter("name:key::"); err == nil {
		t.Errorf("a bare name with a suffix is read as %+v", r)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"empty", "", "empty"},
		{"too long", "/" + strings.Repeat("a", 2048), "2049 characters"},
		{"long name", strings.Repeat("a", 1012), "1011"},
		{"blank at the end", sm + "a ", "white space"},
		{"line break at the end", "/a/b\n", "white space"},
		{"control character", "/a\x00b", "control character"},
		{"five parts", "arn:aws:secretsmanager:eu-west-1:111122223333", "six parts"},
		{"only the word", "arn:", "six parts"},
		{"no partition", "arn::secretsmanager:eu-west-1:111122223333:secret:a", "partition"},
		{"unknown partition", "arn:amazon:secretsmanager:eu-west-1:111122223333:secret:a", "partition"},
		{"other service", "arn:aws:sqs:eu-west-1:111122223333:secret:a", "not secretsmanager, ssm or s3"},
		{"object with a region", "arn:aws:s3:eu-west-1::bucket/key", "no region and no account"},
		{"object with an account", "arn:aws:s3::111122223333:bucket/key", "no region and no account"},
		{"access point", "arn:aws:s3:eu-west-1:111122223333:accesspoint/app/object/key", "access points"},
		{"no bucket", "arn:aws:s3:::", "bucket's name"},
		{"bucket in capitals", "arn:aws:s3:::Bucket/key", "bucket's name"},
		{"short bucket", "arn:aws:s3:::ab/key", "bucket's name"},
		{"long bucket", "arn:aws:s3:::" + strings.Repeat("a", 64) + "/key", "bucket's name"},
		{"two dots in a bucket", "arn:aws:s3:::a..b/key", "bucket's name"},
		{"hyphen at the end of a bucket", "arn:aws:s3:::ab-/key", "bucket's name"},
		{"address for a bucket", "arn:aws:s3:::192.168.5.4/key", "bucket's name"},
		{"bucket with a host behind it", "arn:aws:s3:::bucket@example.com/key", "bucket's name"},
		{"bucket alone", "arn:aws:s3:::bucket", "key is missing"},
		{"bucket and slash", "arn:aws:s3:::bucket/", "key is missing"},
		{"folder", "arn:aws:s3:::bucket/a/", "folder"},
		{"long key", "arn:aws:s3:::bucket/" + strings.Repeat("a", 1025), "1024"},
		{"key that is not text", "arn:aws:s3:::bucket/a\xff", "UTF-8"},
		{"two dots in a key", "arn:aws:s3:::bucket/a/../b", ". or .."},
		{"one dot in a key", "arn:aws:s3:::bucket/./b", ". or .."},
		{"one colon too few", "arn:aws:s3::bucket/key", "six parts"},
		{"no region", "arn:aws:secretsmanager::111122223333:secret:a", "region"},
		{"zone for a region", "arn:aws:secretsmanager:eu-west-1a:111122223333:secret:a", "region"},
		{"no account", "arn:aws:secretsmanager:eu-west-1::secret:a", "twelve digits"},
		{"eleven digits", "arn:aws:secretsmanager:eu-west-1:11112222333:secret:a", "twelve digits"},
		{"no resource", "arn:aws:secretsmanager:eu-west-1:111122223333:", "secret:"},
		{"slash for colon", "arn:aws:secretsmanager:eu-west-1:111122223333:secret/a", "secret:"},
		{"no name", sm, "name is missing"},
		{"no name but a suffix", sm + ":k::", "name is missing"},
		{"one field", sm + "a:k", "invalid ARN format"},
		{"two fields", sm + "a:k:s", "invalid ARN format"},
		{"four fields", sm + "a:k:s:" + id + ":x", "specified: fields after the name: 4, not 0 or 3"},
		{"star in the name", sm + "a*", "character 2"},
		{"stage in the place of the id", sm + "a:::AWSPREVIOUS", "VersionId has 11 characters"},
		{"id too long", sm + "a:::" + strings.Repeat("a", 65), "VersionId has 65 characters"},
		{"stage too long", sm + "a::" + strings.Repeat("a", 257) + ":", "256"},
		{"parameter without slash", par + "parametera", "parameter/"},
		{"parameter alone", par + "parameter", "parameter/"},
		{"parameter, no name", par + "parameter/", "name is missing"},
		{"parameter, two slashes", par + "parameter//a/b", "extra slash"},
		{"slash at the end", "/a/b/", "extra slash"},
		{"path without first slash", "a/b", "begins with a slash"},
		{"sixteen levels", strings.Repeat("/a", 16), "15 levels"},
		{"json key of a parameter", "/app/config:password::", "no json-key"},
		{"empty selector", "/a:", "neither a version number nor a label"},
		{"version zero", "/a:0", "neither a version number nor a label"},
		{"label with digit first", "/a:1st", "neither a version number nor a label"},
		{"label of aws", "/a:awsx", "neither a version number nor a label"},
		{"blank in a name", "my secret", "character 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Parse(c.in)
			if err == nil {
				t.Fatalf("Parse(%q) = %+v, want an error", c.in, r)
			}
			if !errors.Is(err, fault.BadReference) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Parse(%q): %v, want a BadReference that says %q", c.in, err, c.says)
			}
			if strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Errorf("the error has more than one line: %q", err)
			}
		})
	}
}

// People paste the secret where its reference belongs.
func TestErrorsDoNotQuoteBareText(t *testing.T) {
	for _, in := range []string{"hunter2 with blanks", "pass:wo:rd", "p@ssw0rd!%", "a/b/hunter2"} {
		if _, err := Parse(in); err == nil || strings.Contains(err.Error(), in) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Parse(%q): %v", in, err)
		}
	}
}

func TestStage(t *testing.T) {
	for in, want := range map[string]string{
		sm + "a":                   "AWSCURRENT",
		sm + "a:k::":               "AWSCURRENT",
		sm + "a::AWSPREVIOUS:":     "AWSPREVIOUS",
		sm + "a:::" + id:           "",
		sm + "a::AWSCURRENT:" + id: "AWSCURRENT",
	} {
		r, err := Parse(in)
		if err != nil || r.Stage() != want {
			t.Errorf("Stage of %q = %q, %v, want %q", in, r.Stage(), err, want)
		}
	}
}

func TestEndsLikeSuffix(t *testing.T) {
	for in, want := range map[string]bool{
		sm + "test-secret": true, sm + "a-AbCdEf": true, sm + "xyz-google:k::": true,
		sm + "test-secrets": false, sm + "plain": false, sm + "a-b.cdef": false, "a-AbCdEf": false,
	} {
		r, err := Parse(in)
		if err != nil || r.EndsLikeSuffix() != want {
			t.Errorf("EndsLikeSuffix of %q = %v, %v, want %v", in, r.EndsLikeSuffix(), err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{sm + "a-AbCdEf", sm + "a:k:s:" + id, par + "parameter/a/b:3", par + "parameter:/a", "/a/b:prod", "a", "arn:aws:ssm", "a/b", sm + ":::", "arn:aws:s3:::bucket/a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (Ref, error){Parse, ParseCredentialsParameter} {
			r, err := parse(s)
			if err != nil {
				if !errors.Is(err, fault.BadReference) || strings.ContainsAny(err.Error(), "\r\n") {
					t.Fatalf("error of %q: %q", s, err)
				}
				continue
			}
			again, err := parse(r.String())
			if err != nil || again != r {
				t.Fatalf("%q -> %+v -> %q -> %+v, %v", s, r, r.String(), again, err)
			}
			_, _ = r.SecretID(), r.EndsLikeSuffix()
			if bucket, key := r.Object(); r.Service == S3 && bucket+"/"+key != r.Name {
				t.Fatalf("%q has the object %q in %q", s, key, bucket)
			}
			if r.Service == SSM {
				_ = r.ParameterName()
			}
		}
	})
}
