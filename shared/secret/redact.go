package secret

import (
	"errors"
	"net/url"
)

// RedactURL returns raw without its user info, query and fragment, the parts of a URL that may hold a token.
// What does not parse as a URL is not returned at all.
func RedactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "[unparsable URL]"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// RedactError returns err with the URL of every *url.Error in its chain redacted. net/http puts the whole URL of a
// request into its errors.
func RedactError(err error) error {
	var ue *url.Error
	if !errors.As(err, &ue) {
		return err
	}
	return &url.Error{Op: ue.Op, URL: RedactURL(ue.URL), Err: RedactError(ue.Err)}
}
