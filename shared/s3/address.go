package s3

import (
	"strings"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/fault"
)

// partition is a part of AWS: how the names of its regions begin, and the domain of its endpoints.
type partition struct{ name, regions, domain string }

// partitions lists those that are known; the last is for every other region.
func partitions() []partition {
	return []partition{
		{"aws-cn", "cn-", "amazonaws.com.cn"},
		{"aws-us-gov", "us-gov-", "amazonaws.com"},
		{"aws-eusc", "eusc-", "amazonaws.eu"},
		{"aws-iso", "us-iso-", "c2s.ic.gov"},
		{"aws-iso-b", "us-isob-", "sc2s.sgov.gov"},
		{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk"},
		{"aws-iso-f", "us-isof-", "csp.hci.ic.gov"},
		{"aws", "", "amazonaws.com"},
	}
}

func partitionOf(region string) partition {
	for _, p := range partitions() {
		if strings.HasPrefix(region, p.regions) {
			return p
		}
	}
	return partition{}
}

// address returns the URL of an object. A bucket is part of the host's name, as AWS recommends, but where a certificate would
// not cover that (a dot in the bucket's name) or a custom endpoint is not known to serve it.
func address(s awsconf.S3, q Request, region string) (string, error) {
	key := escape(q.Key)
	if s.Endpoint != "" {
		return strings.TrimSuffix(s.Endpoint, "/") + "/" + q.Bucket + "/" + key, nil
	}
	p := partitionOf(region)
	if p.name != q.Partition {
		return "", &fault.Error{Kind: fault.BadReference, Cause: "the region " + region + " is in the partition " + p.name + ", and the ARN names " + q.Partition,
			Hint: regionHint(q.Bucket)}
	}
	host := "s3"
	if s.FIPS {
		host += "-fips"
	}
	if s.Dualstack {
		host += ".dualstack"
	}
	host += "." + region + "." + p.domain
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
