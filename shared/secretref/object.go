package secretref

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxKey is the longest key of an object, in bytes.
const maxKey = 1024

// parseObjectARN reads "BUCKET/KEY". All that follows the first slash is the key, colons included: an object has no json-key
// and no version here.
func parseObjectARN(r Ref, resource string) (Ref, error) {
	bucket, key, ok := strings.Cut(resource, "/")
	switch {
	case strings.HasPrefix(resource, "accesspoint/") || strings.HasPrefix(resource, "accesspoint:"):
		return Ref{}, bad("access points are not supported", "write the bucket itself, as in arn:aws:s3:::BUCKET/KEY")
	case r.Region != "" || r.Account != "":
		return Ref{}, bad("the ARN of an object has no region and no account", "write arn:aws:s3:::BUCKET/KEY, with three colons")
	case !IsBucket(bucket):
		return Ref{}, bad("the bucket's name is missing or malformed",
			"it has 3 to 63 small letters, digits, hyphens and dots; write arn:aws:s3:::BUCKET/KEY")
	case !ok || key == "":
		return Ref{}, bad("the object's key is missing", "write it after the bucket, as in arn:aws:s3:::BUCKET/KEY")
	case len(key) > maxKey:
		return Ref{}, bad("the object's key is longer than 1024 bytes", "")
	case !utf8.ValidString(key):
		return Ref{}, bad("the object's key is not UTF-8 text", "")
	case strings.HasSuffix(key, "/"):
		return Ref{}, bad("the key ends in a slash, so it names a folder", "name one object")
	// Something between here and S3 may resolve these, and then another object is read than the one that was allowed.
	case slices.ContainsFunc(strings.Split(key, "/"), func(part string) bool { return part == "." || part == ".." }):
		return Ref{}, bad("a part of the object's key is . or ..", "rename the object")
	}
	r.Service, r.Name = S3, resource
	return r, nil
}

// IsBucket reports whether s has the form of the name of a bucket.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
func IsBucket(s string) bool {
	if len(s) < 3 || len(s) > 63 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	_, err := netip.ParseAddr(s)
	return err != nil
}
