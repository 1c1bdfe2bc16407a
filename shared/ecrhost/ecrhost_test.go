package ecrhost

import (
	"strings"
	"testing"
)

const account = "111122223333"

func TestParse(t *testing.T) {
	private := func(region, partition string) Registry {
		return Registry{Account: account, Region: region, Partition: partition}
	}
	fips := func(r Registry) Registry { r.FIPS = true; return r }
	dual := func(r Registry) Registry { r.DualStack = true; return r }
	for host, want := range map[string]Registry{
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com":                    private("eu-west-1", "aws"),
		"111122223333.dkr.ecr-fips.us-east-2.amazonaws.com":               fips(private("us-east-2", "aws")),
		"111122223333.dkr.ecr.ap-southeast-1.amazonaws.com":               private("ap-southeast-1", "aws"),
		"111122223333.dkr.ecr.mx-central-1.amazonaws.com":                 private("mx-central-1", "aws"),
		"111122223333.dkr.ecr.xx-newregion-1.amazonaws.com":               private("xx-newregion-1", "aws"),
		"111122223333.dkr-ecr.us-west-2.on.aws":                           dual(private("us-west-2", "aws")),
		"111122223333.dkr-ecr-fips.us-west-2.on.aws":                      dual(fips(private("us-west-2", "aws"))),
		"111122223333.dkr.ecr.us-gov-east-1.amazonaws.com":                private("us-gov-east-1", "aws-us-gov"),
		"111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com":           fips(private("us-gov-west-1", "aws-us-gov")),
		"111122223333.dkr-ecr.us-gov-east-1.on.aws":                       dual(private("us-gov-east-1", "aws-us-gov")),
		"111122223333.dkr-ecr-fips.us-gov-east-1.on.aws":                  dual(fips(private("us-gov-east-1", "aws-us-gov"))),
		"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn":                private("cn-north-1", "aws-cn"),
		"111122223333.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn": dual(private("cn-northwest-1", "aws-cn")),
		"111122223333.dkr.ecr.cn-north-1.on.amazonwebservices.com.cn":     dual(private("cn-north-1", "aws-cn")),
		"111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu":                private("eusc-de-east-1", "aws-eusc"),
		"111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov":                   private("us-iso-east-1", "aws-iso"),
		"111122223333.dkr.ecr.us-isob-east-1.sc2s.sgov.gov":               private("us-isob-east-1", "aws-iso-b"),
		"111122223333.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk":              private("eu-isoe-west-1", "aws-iso-e"),
		"111122223333.dkr.ecr.us-isof-south-1.csp.hci.ic.gov":             private("us-isof-south-1", "aws-iso-f"),
		"public.ecr.aws":     {Region: "us-east-1", Partition: "aws", Public: true},
		"ecr-public.aws.com": {Region: "us-east-1", Partition: "aws", Public: true, DualStack: true},
	} {
		if got, ok := Parse(host); !ok || got != want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", host, got, ok, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, host := range map[string]string{
		"empty":                           "",
		"another registry":                "registry.example.com",
		"Docker Hub":                      "docker.io",
		"no account":                      ".dkr.ecr.eu-west-1.amazonaws.com",
		"short account":                   "11112222333.dkr.ecr.eu-west-1.amazonaws.com",
		"account with a letter":           "11112222333a.dkr.ecr.eu-west-1.amazonaws.com",
		"no region":                       "111122223333.dkr.ecr.amazonaws.com",
		"empty region":                    "111122223333.dkr.ecr..amazonaws.com",
		"odd region":                      "111122223333.dkr.ecr.not_real.amazonaws.com",
		"region with a double hyphen":     "111122223333.dkr.ecr.eu--west-1.amazonaws.com",
		"AWS domain in the middle":        "111122223333.dkr.ecr.us-west-2.amazonaws.com.fake.example.com",
		"FIPS, domain in the middle":      "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com.example.com",
		"China, domain in the middle":     "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn.example.com.cn",
		"China on the global domain":      "111122223333.dkr.ecr.cn-north-1.amazonaws.com",
		"global region on China's domain": "111122223333.dkr.ecr.us-east-1.amazonaws.com.cn",
		"China on the global dual-stack":  "111122223333.dkr-ecr.cn-north-1.on.aws",
		"a dual-stack name nobody has":    "111122223333.dkr.ecr.cn-north-1.on.aws.com.cn",
		"commercial region on c2s":        "111122223333.dkr.ecr.us-east-1.c2s.ic.gov",
		"the API, not the registry":       "api.ecr.eu-west-1.amazonaws.com",
		"label before the account":        "x.111122223333.dkr.ecr.eu-west-1.amazonaws.com",
		"other service":                   "111122223333.dkr.ecrx.eu-west-1.amazonaws.com",
		"port":                            "111122223333.dkr.ecr.eu-west-1.amazonaws.com:5000",
		"trailing dot":                    "111122223333.dkr.ecr.eu-west-1.amazonaws.com.",
		"path":                            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/app",
		"scheme":                          "https://public.ecr.aws",
		"upper case is not canonical":     "PUBLIC.ECR.AWS",
		"public, longer":                  "public.ecr.aws.example.com",
		"public, label before":            "x.public.ecr.aws",
		"public, port":                    "public.ecr.aws:5000",
	} {
		if got, ok := Parse(host); ok || got != (Registry{}) {
			t.Errorf("%s: Parse(%q) = %+v, %v, want nothing", name, host, got, ok)
		}
	}
}

// Resembles must not miss a host that Parse accepts.
func TestResembles(t *testing.T) {
	for host, want := range map[string]bool{
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com":   true,
		"111122223333.dkr-ecr-fips.us-gov-east-1.on.aws": true,
		"public.ecr.aws":                  true,
		"ecr-public.aws.com":              true,
		"*.dkr.ecr.eu-west-1.x":           true,
		"registry.example.com":            false,
		"x.public.ecr.aws":                false,
		"api.ecr.eu-west-1.amazonaws.com": false,
	} {
		if got := Resembles(host); got != want {
			t.Errorf("Resembles(%q) = %v, want %v", host, got, want)
		}
	}
}

// FuzzParse builds the host again from what Parse has understood: nothing may have been skipped.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com", "111122223333.dkr-ecr-fips.us-gov-east-1.on.aws", "public.ecr.aws",
		"111122223333.dkr.ecr.cn-north-1.on.amazonwebservices.com.cn", "111122223333.dkr.ecr.us-iso-east-1.c2s.ic.gov",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		r, ok := Parse(host)
		if !ok {
			if r != (Registry{}) {
				t.Fatalf("Parse(%q) refuses and returns %+v", host, r)
			}
			return
		}
		if !Resembles(host) {
			t.Fatalf("Parse accepts %q, which Resembles does not", host)
		}
		if r.Public {
			if host != "public.ecr.aws" && host != "ecr-public.aws.com" {
				t.Fatalf("Parse(%q) is public", host)
			}
			return
		}
		fips := ""
		if r.FIPS {
			fips = "-fips"
		}
		suffix, found := strings.CutPrefix(host, r.Account+".dkr.ecr"+fips+"."+r.Region+".")
		if !found {
			suffix, found = strings.CutPrefix(host, r.Account+".dkr-ecr"+fips+"."+r.Region+".")
		}
		if _, known := hasSuffix(r.Partition, suffix); !found || !known {
			t.Fatalf("Parse(%q) = %+v, of which the host cannot be built", host, r)
		}
	})
}
