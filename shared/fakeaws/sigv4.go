package fakeaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// amzDate is the form of x-amz-date.
const amzDate = "20060102T150405Z"

// maxSkew is by how much the date of a request may differ from the server's clock.
const maxSkew = 5 * time.Minute

// authorization is the Authorization header of a signed request, taken apart.
type authorization struct {
	keyID, date, region, service string
	signed                       []string
	signature                    string
}

func parseAuthorization(header string) (authorization, bool) {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return authorization{}, false
	}
	field := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		field[name] = value
	}
	scope := strings.Split(field["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" || field["Signature"] == "" {
		return authorization{}, false
	}
	return authorization{
		keyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signed: strings.Split(field["SignedHeaders"], ";"), signature: field["Signature"],
	}, true
}

// verify returns what is wrong with the signature of r, or nil. clock is the time that the server believes in.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (a authorization) verify(r *http.Request, body []byte, c Credentials, clock time.Time) *signatureError {
	date, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	if err != nil || date.Format("20060102") != a.date {
		return &signatureError{"Credential should be scoped to a valid date."}
	}
	clock = clock.UTC().Truncate(time.Second)
	limit := clock.Add(-maxSkew)
	if date.Before(limit) {
		return &signatureError{fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)",
			date.Format(amzDate), limit.Format(amzDate), clock.Format(amzDate))}
	}
	if limit = clock.Add(maxSkew); date.After(limit) {
		return &signatureError{fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			date.Format(amzDate), limit.Format(amzDate), clock.Format(amzDate))}
	}
	for _, must := range []string{"host", "x-amz-date", "x-amz-target", "x-amz-security-token"} {
		if (must == "host" || r.Header.Get(must) != "") && !slices.Contains(a.signed, must) {
			return &signatureError{"'" + must + "' must be a 'SignedHeader' in the AWS Authorization."}
		}
	}
	scope := strings.Join([]string{a.date, a.region, a.service, "aws4_request"}, "/")
	toSign := "AWS4-HMAC-SHA256\n" + date.Format(amzDate) + "\n" + scope + "\n" + hexHash([]byte(a.canonical(r, body)))
	key := []byte("AWS4" + c.SecretAccessKey)
	for _, part := range []string{a.date, a.region, a.service, "aws4_request", toSign} {
		key = mac(key, part)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(key)), []byte(a.signature)) {
		return &signatureError{"The request signature we calculated does not match the signature you provided. Check your " +
			"AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	return nil
}

// signatureError is a signature that does not hold; each protocol has its own code for it.
type signatureError struct{ message string }

func (a authorization) canonical(r *http.Request, body []byte) string {
	var b strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	b.WriteString(r.Method + "\n" + path + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range a.signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch {
		case name == "host": // net/http moves these two out of the header
			value = r.Host
		case name == "content-length" && value == "":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		b.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	b.WriteString("\n" + strings.Join(a.signed, ";") + "\n" + hexHash(body))
	return b.String()
}

// canonicalQuery sorts by name and then value, and escapes a space as %20.
func canonicalQuery(q url.Values) string {
	for _, values := range q {
		slices.Sort(values)
	}
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
