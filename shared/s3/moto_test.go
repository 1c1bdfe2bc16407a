//go:build integration

package s3

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/rig"
)

// moto is an implementation of S3 that we did not write. It checks no signature, no region and no rights.
func TestMoto(t *testing.T) {
	url := rig.Use(t, rig.StartMoto, rig.MotoOptions{}).URL()
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "key", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(k, v)
	}
	put(t, url+"/secrets", "", nil)
	put(t, url+"/secrets?versioning", `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`, nil)
	put(t, url+"/secrets/a%20b%2Bc/d", "one", http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}})

	c, q := client(), request()
	q.Key = "a b+c/d"
	first, err := get(t, c, q)
	if err != nil || first.Text.Reveal() != "one" || first.VersionID == "" || first.ETag == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	q.ETag = first.ETag
	if o, err := get(t, c, q); err != nil || !o.NotModified {
		t.Errorf("the same object: %+v, %v", o, err)
	}
	put(t, url+"/secrets/a%20b%2Bc/d", "two", nil)
	if o, err := get(t, c, q); err != nil || o.Text.Reveal() != "two" || o.VersionID == first.VersionID {
		t.Errorf("a changed object: %+v, %v", o, err)
	}
	for _, missing := range []Request{
		{Partition: "aws", Bucket: "secrets", Key: "missing", Region: "us-east-1"},
		{Partition: "aws", Bucket: "no-such-bucket", Key: "a", Region: "us-east-1"},
	} {
		if _, err := get(t, c, missing); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s/%s: %v, want NotFound", missing.Bucket, missing.Key, err)
		}
	}
}

func put(t *testing.T, url, body string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261128/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16)); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s %s %v", url, res.Status, text, err)
	}
}
