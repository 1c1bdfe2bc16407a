// Package ecrhost reads the host of an Amazon ECR registry: whether it is one, and its account, region and partition.
//
// Use it to decide that a host is answered with an ECR token instead of a secret, and which region issues the token.
// Parse knows every public host form of every partition and refuses all others, so that a token is never sent to a
// host that only looks like ECR: a longer name, a port, another domain, a region of another partition.
//
// Host forms: https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html and, for the partitions that
// page leaves out, the forms that amazon-ecr-credential-helper 0.12 accepts.
package ecrhost

import (
	"strings"

	"github.com/secretref/secretref/shared/secretref"
)

// The hosts of ECR Public.
const (
	publicHost          = "public.ecr.aws"
	publicDualStackHost = "ecr-public.aws.com"
)

// Registry is what a host says about an ECR registry.
type Registry struct {
	Account   string // twelve digits; "" for ECR Public, which has no account in its host
	Region    string // where the token is asked for; always us-east-1 for ECR Public
	Partition string // "aws", "aws-cn", "aws-us-gov", ...: the partition of Region
	Public    bool   // ECR Public: another API (ecr-public), another token
	FIPS      bool   // the host is the FIPS endpoint: ask the FIPS endpoint of the API as well
	DualStack bool   // the host answers over IPv6 too: an IPv6-only machine needs the dual-stack API endpoint
}

// Parse reads host, a canonical host as from registryhost: lower case, no scheme, no path. ok is false for
// everything that is not ECR.
func Parse(host string) (r Registry, ok bool) {
	switch host {
	case publicHost:
		return Registry{Region: "us-east-1", Partition: "aws", Public: true}, true
	case publicDualStackHost:
		return Registry{Region: "us-east-1", Partition: "aws", Public: true, DualStack: true}, true
	}

	account, rest, _ := strings.Cut(host, ".")
	if !secretref.IsAccount(account) {
		return Registry{}, false
	}
	rest, ok = strings.CutPrefix(rest, "dkr.ecr")
	if !ok {
		if rest, ok = strings.CutPrefix(rest, "dkr-ecr"); !ok {
			return Registry{}, false
		}
	}
	rest, fips := strings.CutPrefix(rest, "-fips")
	rest, ok = strings.CutPrefix(rest, ".")
	if !ok {
		return Registry{}, false
	}
	region, suffix, _ := strings.Cut(rest, ".")
	if !secretref.IsRegion(region) {
		return Registry{}, false
	}
	partition := partitionOf(region)
	dualStack, ok := hasSuffix(partition, suffix)
	if !ok {
		return Registry{}, false
	}
	return Registry{Account: account, Region: region, Partition: partition, FIPS: fips, DualStack: dualStack}, true
}

// hasSuffix reports whether ECR hosts of the partition end in suffix, and whether it is the one of the dual-stack hosts.
// The separator in dkr.ecr and dkr-ecr is not tied to the suffix: AWS writes dkr-ecr for dual-stack hosts, and
// amazon-ecr-credential-helper takes both in front of either; all of these domains are AWS's own.
func hasSuffix(partition, suffix string) (dualStack, ok bool) {
	switch partition {
	case "aws", "aws-us-gov":
		return suffix == "on.aws", suffix == "amazonaws.com" || suffix == "on.aws"
	case "aws-cn":
		const dual = "on.amazonwebservices.com.cn"
		return suffix == dual, suffix == "amazonaws.com.cn" || suffix == dual
	case "aws-eusc":
		return false, suffix == "amazonaws.eu"
	case "aws-iso":
		return false, suffix == "c2s.ic.gov"
	case "aws-iso-b":
		return false, suffix == "sc2s.sgov.gov"
	case "aws-iso-e":
		return false, suffix == "cloud.adc-e.uk"
	case "aws-iso-f":
		return false, suffix == "csp.hci.ic.gov"
	}
	return false, false
}

// partitionOf follows the region patterns of the SDK's partitions.json. A region that none of them names is taken to
// be a new one of the commercial partition.
func partitionOf(region string) string {
	geo, rest, _ := strings.Cut(region, "-")
	area, _, _ := strings.Cut(rest, "-")
	switch {
	case geo == "cn":
		return "aws-cn"
	case geo == "eusc":
		return "aws-eusc"
	case area == "gov":
		return "aws-us-gov"
	case area == "iso":
		return "aws-iso"
	case area == "isob":
		return "aws-iso-b"
	case area == "isoe":
		return "aws-iso-e"
	case area == "isof":
		return "aws-iso-f"
	}
	return "aws"
}

// Resembles reports whether host may be a registry of ECR or ECR Public in any form and partition. It is for cases of
// doubt only, such as a configuration that cannot be read: use Parse to decide where a token goes.
func Resembles(host string) bool {
	return strings.Contains(host, ".dkr.ecr") || strings.Contains(host, ".dkr-ecr") || host == publicHost || host == publicDualStackHost
}
