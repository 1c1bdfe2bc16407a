package s3

import (
	"strings"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/fault"
)

// address returns the URL of an object. A bucket is part of the host's name, as AWS recommends, but where a certificate would
// not cover that (a dot in the bucket's name) or a custom endpoint is not known to serve it.
func address(s awsconf.Service, q Request, region string) (string, error) {
	key := escape(q.Key)
	if s.Endpoint != "" {
		return strings.TrimSuffix(s.Endpoint, "/") + "/" + q.Bucket + "/" + key, nil
	}
	p := awsconf.PartitionOf(region)
	if p.Name != q.Partition {
		return "", &fault.Error{Kind: fault.BadReference, Cause: "the region " + region + " is in the partition " + p.Name + ", and the ARN names " + q.Partition,
			Hint: regionHint(q.Bucket)}
	}
	host := "s3"
	if s.FIPS {
		host += "-fips"
	}
	if s.Dualstack {
		host += ".dualstack"
	}
	host += "." + region + "." + p.Domain
	if strings.Contains(q.Bucket, ".") {
		return "https://" + host + "/" + q.Bucket + "/" + key, nil
	}
	return "https://" + q.Bucket + "." + host + "/" + key, nil
}

// escape writes a key as S3 signs it: every byte but letters, digits, -._~ and the slash is escaped.
func escape(key string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

func regionHint(bucket string) string {
	return `set region under [buckets."` + bucket + `"], or under [aws]`
}
