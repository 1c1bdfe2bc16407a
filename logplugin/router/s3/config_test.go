package s3

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// kind is the router on a host that reaches no AWS.
func kind() router.Kind { return Kind(awsrouter.NewHost(nil)) }

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name             string
		options, secrets map[string]string
		want             string // in the error; "" means that they are taken
	}{
		{"good", nil, nil, ""},
		{"no bucket", map[string]string{bucket: ""}, nil, "is not a name of a bucket"},
		{"bucket that is an ARN", map[string]string{bucket: "arn:aws:s3:::logs"}, nil, "is not a name of a bucket"},
		{"bucket with a path", map[string]string{bucket: "logs/web"}, nil, "is not a name of a bucket"},
		{"bucket with a dot", map[string]string{bucket: "logs.example.com"}, nil, ""},
		{"key", map[string]string{keyFormat: "/a/$TAG[0]/%Y/$INDEX-$UUID.gz"}, nil, ""},
		{"key without a slash", map[string]string{keyFormat: "a/%Y"}, nil, "it does not begin with a slash"},
		{"key with a letter that strftime has not", map[string]string{keyFormat: "/a/%Q"}, nil, "%Q is not supported"},
		{"key with a line break", map[string]string{keyFormat: "/a\nb"}, nil, "control character"},
		{"long key", map[string]string{keyFormat: "/" + strings.Repeat("a", 600)}, nil, "more than 512 bytes"},
		{"size", map[string]string{totalSize: "1000000"}, nil, ""},
		{"small size", map[string]string{totalSize: "999999"}, nil, "is not a size from 1000000 to 16MiB"},
		{"large size", map[string]string{totalSize: "17MiB"}, nil, "is not a size from 1000000 to 16MiB"},
		{"no size", map[string]string{totalSize: "much"}, nil, "is not a size"},
		{"timeout", map[string]string{uploadWait: "500ms"}, nil, uploadWait},
		{"size by reference", nil, map[string]string{totalSize: "8MiB"}, "cannot be a reference"},
		{"timeout by reference", nil, map[string]string{uploadWait: "1m"}, "cannot be a reference"},
		{"format", map[string]string{format: "parquet"}, nil, `"parquet" is not one of json_lines, raw`},
		{"date", map[string]string{dateFormat: "rfc"}, nil, `"rfc" is not one of iso8601`},
		{"compression", map[string]string{compression: "lz4"}, nil, `"lz4" is not one of none, gzip, zstd, snappy`},
		{"headers", map[string]string{contentType: "application/x-ndjson; charset=utf-8", storageClass: "GLACIER_IR", cannedACL: "bucket-owner-full-control", contentMD5: "true"}, nil, ""},
		{"content type of two lines", map[string]string{contentType: "a\r\nX: y"}, nil, "write a value such as application/x-ndjson"},
		{"storage class", map[string]string{storageClass: "glacier"}, nil, "write a value such as STANDARD_IA"},
		{"region", map[string]string{"s3-region": "Ireland"}, nil, "is not an AWS region"},
		{"role", map[string]string{"s3-role-arn": "logs"}, nil, "is not the ARN of a role"},
		{"endpoint", map[string]string{"s3-endpoint": "s3.example.com"}, nil, "write https://s3.example.com"},
		{"everything else a secret", map[string]string{bucket: "-"}, map[string]string{bucket: "x", keyFormat: "x", delimiters: "x", format: "x", dateKey: "x", dateFormat: "x",
			compression: "x", contentType: "x", storageClass: "x", cannedACL: "x", contentMD5: "x", "s3-region": "x", "s3-endpoint": "x", "s3-timeout": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			routertest.Refuses(t, kind(), map[string]string{bucket: "logs"}, c.options, c.secrets, c.want, "h1dden")
		})
	}
}

// The ARN of a bucket names no account and no region, and an endpoint stands beside it.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    []string
	}{
		{map[string]string{bucket: "logs", "s3-region": "eu-west-1"}, []string{"arn:aws:s3:::logs"}},
		{map[string]string{bucket: "logs", "s3-region": "cn-north-1", "s3-role-arn": "arn:aws-cn:iam::111122223333:role/logs"}, []string{"arn:aws-cn:s3:::logs"}},
		{map[string]string{bucket: "logs", "s3-endpoint": "https://minio.example.com:9000"}, []string{"arn:aws:s3:::logs", "https://minio.example.com:9000"}},
	} {
		v := router.Options{Plain: c.options}.Unresolved()
		var got []string
		for _, a := range kind().Addresses(v) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, c.want) || v.Err() != nil {
			t.Errorf("%v: %q, %v; want %q", c.options, got, v.Err(), c.want)
		}
	}
}

// How many bytes go into an object, and how long lines wait for it.
func TestGather(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		bytes   int
		wait    time.Duration
	}{
		{nil, 8 << 20, 5 * time.Minute},
		{map[string]string{totalSize: "2MiB", uploadWait: "1h"}, 2 << 20, time.Hour},
	} {
		options := map[string]string{bucket: "logs"}
		for name, value := range c.options {
			options[name] = value
		}
		config, err := kind().New(router.Options{Plain: options})
		if err != nil {
			t.Fatal(err)
		}
		g, ok := config.(router.Gatherer)
		if !ok {
			t.Fatalf("%T is not a Gatherer", config)
		}
		if bytes, wait := g.Gather(); bytes != c.bytes || wait != c.wait {
			t.Errorf("%v: %d, %v; want %d, %v", c.options, bytes, wait, c.bytes, c.wait)
		}
	}
}

func TestKeys(t *testing.T) {
	const nano = 1795428000_123456789 // 2026-11-23T10:00:00Z
	name := uuidOf("session", nano, 7)
	for _, c := range []struct{ format, tag, delimiters, want string }{
		{"/$TAG/%Y/%m/%d/%H-%M-%S-$UUID", "web/ab12", ".", "web/ab12/2026/11/23/10-00-00-" + name},
		{"/logs/$TAG", "a.b", ".", "logs/a.b-object" + name},
		{"/$TAG[1]/$TAG[0]/$TAG[2]", "a.b", ".", "b/a/$TAG[2]-object" + name},
		{"/$TAG[0]/$TAG[2]", "..a-b..c", ".-", "a/c-object" + name},
		{"/x-$INDEX.json", "", ".", "x-1795428000123456789" + nameOf("session", nano, 7, "0123456789", 10) + ".json"},
		{"/100%%/$UUID/$OTHER $TAG", "50%Y", ".", "100%/" + name + "/$OTHER 50%Y"},
		{"/é/$UUID", "", "", "é/" + name},
	} {
		k, err := parseKey(c.format, c.tag, c.delimiters)
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		if got := k.of("session", nano, 7); got != c.want {
			t.Errorf("%s with the tag %s: %q, want %q", c.format, c.tag, got, c.want)
		}
	}
	for _, format := range []string{"/$TAG", "/$TAG/$UUID", "/$TAG-$INDEX.json"} { // what the key has no room for takes the name with it
		k, err := parseKey(format, strings.Repeat("é", 2000), "")
		if got := k.of("session", nano, 7); err != nil || len(got) > maxKey || len(got) < maxKey-1 || !strings.HasSuffix(got, "é-object"+name) {
			t.Errorf("%s: %d bytes, %v", format, len(got), err)
		}
	}
}

// Another session, another time and another place give another key, in each format that is without a time of its own; the same give
// the same. An object whose key is that of another one replaces it, and its lines are lost.
func TestKeysDiffer(t *testing.T) {
	type object struct {
		session        string
		nano, position int64
	}
	objects := []object{{"a", 1, 2}, {"b", 1, 2}, {"a", 2, 2}, {"a", 1, 3}, {"a", -1, 2}, {"b", -1, 2}}
	for format, length := range map[string]int{"/$UUID": 16, "/$TAG": len("web-object") + 16, "/$INDEX": 1 + 10} {
		k, err := parseKey(format, "web", ".")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]object{}
		for _, o := range objects {
			key := k.of(o.session, o.nano, o.position)
			if other, ok := seen[key]; ok || len(key) != length || key != k.of(o.session, o.nano, o.position) {
				t.Errorf("%s: the key of %v is %q; want one of %d bytes that is not that of %v", format, o, key, length, other)
			}
			seen[key] = o
		}
	}
}

func TestPermissions(t *testing.T) {
	for _, c := range []struct {
		options map[string]string
		want    []router.Permission
	}{
		{map[string]string{bucket: "logs"}, []router.Permission{{Action: "s3:PutObject", Resource: "arn:aws:s3:::logs/*"}}},
		{map[string]string{bucket: "logs", cannedACL: "private"}, []router.Permission{{Action: "s3:PutObject", Resource: "arn:aws:s3:::logs/*"}, {Action: "s3:PutObjectAcl", Resource: "arn:aws:s3:::logs/*"}}},
		{map[string]string{bucket: "logs", "s3-region": "us-gov-west-1", "s3-role-arn": "arn:aws-us-gov:iam::111122223333:role/logs"}, []router.Permission{
			{Action: "s3:PutObject", Resource: "arn:aws-us-gov:s3:::logs/*"}, {Action: "sts:AssumeRole", Resource: "arn:aws-us-gov:iam::111122223333:role/logs"},
		}},
	} {
		if got := kind().Permissions(router.Options{Plain: c.options}.Unresolved()); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.options, got, c.want)
		}
	}
}
