package awsconf

import "strings"

// Partition is a part of AWS.
type Partition struct {
	Name      string // in ARNs
	Domain    string // of its endpoints
	Dualstack string // of those with IPv6, of most services
	regions   string // how the names of its regions begin
}

// partitions lists those that are known; the last is for every other region.
func partitions() []Partition {
	return []Partition{
		{"aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-"},
		{"aws-us-gov", "amazonaws.com", "api.aws", "us-gov-"},
		{"aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-"},
		{"aws-iso", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-"},
		{"aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-"},
		{"aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-"},
		{"aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-"},
		{"aws", "amazonaws.com", "api.aws", ""},
	}
}

// PartitionOf returns the partition of a region.
func PartitionOf(region string) Partition {
	for _, p := range partitions() {
		if strings.HasPrefix(region, p.regions) {
			return p
		}
	}
	return Partition{}
}
