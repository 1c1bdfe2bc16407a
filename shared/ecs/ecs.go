// Package ecs holds what Amazon ECS does with references: cases from the ECS agent's own tests, its code and the AWS
// documentation, and the table of what this project does differently. The tests of the other packages run the cases;
// none of them may be left out without a word here. packaging/docs/differences.md prints the same table.
package ecs

import (
	_ "embed"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Kinds of cases.
const (
	ValueFrom             = "valueFrom"
	RepositoryCredentials = "repositoryCredentials"
	SecretOptions         = "secretOptions"
)

// Case is one case. The shapes of Input, Stored and Expect go with the kind; see cases.json.
type Case struct {
	ID     string
	Kind   string
	Input  json.RawMessage
	Stored json.RawMessage
	Expect json.RawMessage
	Source string // where in ECS
	Basis  string // test, code, docs, issue or api
	Note   string
}

// Read reads the three parts, each into what its argument points to.
func (c Case) Read(input, stored, expect any) error {
	return errors.Join(json.Unmarshal(c.Input, input), json.Unmarshal(c.Stored, stored), json.Unmarshal(c.Expect, expect))
}

//go:embed cases.json
var casesJSON []byte

// Cases returns the cases of a kind whose id begins with prefix and that are not in NotOurs.
func Cases(kind, prefix string) []Case {
	return slices.DeleteFunc(all(), func(c Case) bool {
		_, notOurs := NotOurs()[c.ID]
		return c.Kind != kind || !strings.HasPrefix(c.ID, prefix) || notOurs
	})
}

func all() []Case {
	var cases []Case
	if err := json.Unmarshal(casesJSON, &cases); err != nil {
		panic("cases.json: " + err.Error()) // it is part of the program
	}
	return cases
}

// Difference is something that this project does on purpose in another way than ECS.
type Difference struct {
	What  string
	ECS   string
	Ours  string
	Cases []string // ids of cases that show it
}

// Differences is the table.
func Differences() []Difference {
	return []Difference{
		{"JSON number", "printed as a float: `1e+06`, `1.2345678901e+10`", "keeps its literal text: `1000000`", []string{"sm-json-07"}},
		{"JSON object or array under a key", "printed as Go prints it: `map[a:x b:1]`", "compact JSON", []string{"sm-json-11", "sm-json-12"}},
		{"`null`, empty or binary value", "`<nil>`, an empty value, or a crash of the agent", "an error", []string{"sm-binary-no-key", "so-empty-value-dropped"}},
		{"Several keys of one secret", "one call each, perhaps from two versions", "one call, one version", nil},
		{"Several SSM parameters, one of them wrong", "all of the batch fail, the first batch is reported", "the others are read, every failure is reported", []string{"ssm-partial-invalid-fails-whole-batch"}},
		{"The same SSM parameter twice", "asked for twice", "asked for once", nil},
		{"Version or label of an SSM parameter (`name:3`, `name:label`)", "refused", "accepted", []string{"ssm-name-version-rejected", "ssm-name-label-rejected", "ssm-selector-agent-mismatch"}},
		{"Object of S3 as a `valueFrom`", "refused: a whole file of variables only (`environmentFiles`)", "accepted (`arn:aws:s3:::BUCKET/KEY`): text of at most 1 MiB", nil},
		{"Parameter of another account", "refused", "accepted, by its ARN", nil},
		{"`credentialsParameter`", "Secrets Manager only, without json-key, stage or version id", "SSM parameters and S3 objects too, by ARN; the suffix works as in `valueFrom`", []string{"rc-suffix-not-parsed"}},
		{"Shape of registry credentials", "`username` and `password`", "also `accessToken`, `token`, `identitytoken`, a Docker `config.json`, a `.dockercfg`, `username:password`, and a bare password with `username` in the rule", []string{"rc-docker-config-shape"}},
		{"Line ending at the end of the password", "part of it", "one is dropped, and `check` warns", nil},
		{"Which registry gets the credentials", "whatever registry the image names", "only hosts that the rule names", []string{"rc-precedence-asm"}},
		{"Region of a reference by ARN", "the task's region field decides", "the ARN's region decides", []string{"sm-two-regions-same-arn-text"}},
		{"Version stage", "sent only when given", "always sent (`AWSCURRENT`), so that IAM conditions on it work; not with a version id alone", nil},
		{"Malformed account, region or version id", "found out by AWS", "refused before any call", []string{"sm-all-three-suffix", "sm-version-id-input"}},
		{"Rotation", "a new task reads the new value", "seen within the ttl, or at once after `docker logout`", []string{"sm-refetch-after-restart"}},
		{"AWS does not answer", "the task does not start", "a cached value is used inside the stale window", nil},
		{"ECR token", "asked for with `registryIds`", "asked for without this deprecated field: the token serves every registry that the identity may read", []string{"ecr-success"}},
		{"ECR Public", "pulls are anonymous", "authenticated pulls", nil},
		{"Value of a `secretOptions` entry", "written into the container's configuration, where `docker inspect` shows it", "in the memory of the log driver alone", nil},
		{"One option in `options` and in `secretOptions`, or twice in the latter", "the secret one wins, the last of two wins", "an error", nil},
		{"`secretOptions` without a log driver", "dropped", "an error", []string{"so-no-log-driver-type"}},
		{"Text with the form of a UUID as `valueFrom` of `secretOptions`", "the name of a parameter", "refused: it is a token in the wrong place; such a parameter can be named by its ARN", nil},
	}
}

// Differs reports whether a difference names the case.
func Differs(id string) bool {
	return slices.ContainsFunc(Differences(), func(d Difference) bool { return slices.Contains(d.Cases, id) })
}

// NotOurs gives the reason why a case says nothing about this project.
func NotOurs() map[string]string {
	const (
		lifecycle = "the life of an ECS task"
		engine    = "ECS_ENGINE_AUTH_DATA, which is not read here"
		provider  = "the field provider of the ECS control plane: here a bare valueFrom is always a parameter"
		ring      = "the ECS agent's default for the daemon's own buffer, which a log driver has no part in"
		endpoints = "the HTTP endpoints between the ECS agent and AWS's own loggers"
	)
	m := map[string]string{
		"sm-refetch-after-restart": lifecycle,
		"sm-clear-on-cleanup":      lifecycle,
		"sm-bare-name-rejected":    provider,
		"ecr-cache-size-ttl":       "the agent's cache in memory; a host needs no limit of 100 registries",

		"so-firelens-not-in-logconfig": "FireLens, where a container of the task is the log router",
		"shim-token-endpoint-404":      endpoints,
		"shim-token-endpoint-bad-json": endpoints,
		"shim-token-endpoint-empty":    endpoints,
		"tmds-splunk-token-ok":         endpoints,
	}
	for _, c := range all() {
		switch {
		case strings.HasPrefix(c.ID, "host-auth-bad-"):
			m[c.ID] = engine
		case strings.HasPrefix(c.ID, "so-buffer-"):
			m[c.ID] = ring
		}
	}
	return m
}

// Table returns the differences as the rows of a Markdown table.
func Table() string {
	var b strings.Builder
	b.WriteString("| | Amazon ECS | secretref |\n|---|---|---|\n")
	for _, d := range Differences() {
		b.WriteString("| " + d.What + " | " + d.ECS + " | " + d.Ours + " |\n")
	}
	return b.String()
}
