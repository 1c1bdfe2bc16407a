package resolve

import (
	"context"
	"errors"
	"strings"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/s3"
	"github.com/secretref/secretref/shared/secretref"
)

// readObject reads an object, or finds that the one that is known is still it.
func (r *Resolver) readObject(ctx context.Context, u unit) answer {
	r.mu.Lock()
	known := r.units[u].answer
	r.mu.Unlock()
	bucket, key, _ := strings.Cut(u.name, "/")
	o, err := r.objects.Get(ctx, s3.Request{Partition: u.partition, Bucket: bucket, Key: key, Region: u.region, Role: u.role, ETag: known.etag})
	switch {
	case err != nil:
		return answer{err: err}
	case o.NotModified:
		return known
	}
	return answer{text: o.Text, versionID: o.VersionID, etag: o.ETag}
}

// objectHint is hint for an object.
func objectHint(q Request, k fault.Kind) string {
	switch k {
	case fault.NotFound:
		return "compare the bucket and the key"
	case fault.Denied:
		return "allow s3:GetObject on it for " + who(q) + ", and s3:ListBucket on its bucket: without that, S3 denies access also to a key that does not exist"
	case fault.BadReference:
		return "compare the reference with the ARN that the console shows"
	case fault.Decrypt:
		return "allow kms:Decrypt on the key of the object for " + who(q) + ", and see that the key is enabled and its policy names the role"
	}
	return ""
}

// regionError explains for an object, whose ARN has no region, what to do when none is known.
func regionError(ref secretref.Ref, err error) error {
	var e *fault.Error
	if bucket, _ := ref.Object(); bucket != "" && errors.As(err, &e) {
		c := *e
		c.Hint = `set region under [buckets."` + bucket + `"] or under [aws]`
		return &c
	}
	return err
}
