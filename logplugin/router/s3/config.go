// Package s3 sends container logs to a bucket of Amazon S3, many lines in one object.
//
// Use it through package router. The lines of a container wait in its spool until there are enough of them, or until the first has
// waited long enough: an object has the lines of one container. Its key is made of the options, of the time of its first line, and of
// the place of that line in its session, so that an object that is sent again has the same key and replaces itself.
//
// It promises that a line counts as delivered when S3 has answered that its object is stored, and that a line is stored once. It uses
// no uploads of several parts, so that nothing is left in a bucket by a driver that was killed.
//
// Protocol: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
package s3

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/size"
)

const (
	bucket       = "s3-bucket"
	keyFormat    = "s3-key-format"
	delimiters   = "s3-key-format-tag-delimiters"
	totalSize    = "s3-total-file-size"
	uploadWait   = "s3-upload-timeout"
	format       = "s3-format"
	dateKey      = "s3-date-key"
	dateFormat   = "s3-date-format"
	compression  = "s3-compression"
	contentType  = "s3-content-type"
	storageClass = "s3-storage-class"
	cannedACL    = "s3-canned-acl"
	contentMD5   = "s3-send-content-md5"
)

const (
	op           = "read s3 log-opts"
	noneEncoding = "none"
	jsonLines    = "json_lines"
	raw          = "raw"
)

// Bounds of an object, in bytes before compression, and of how long lines wait. What is in memory at once is four times as much for
// each of two objects under way.
const (
	smallestObject = 1_000_000
	largestObject  = 16 << 20
	defaultObject  = 8 << 20
	defaultWait    = 5 * time.Minute
	longestWait    = 24 * time.Hour
)

var service = awsrouter.Service{Name: "s3", SDKID: "S3", Prefix: "s3", Global: true}

var options = slices.Concat([]router.Option{
	{Name: bucket, Required: true, Address: true},
	{Name: keyFormat, Session: true, Template: true, Default: "/$TAG/%Y/%m/%d/%H-%M-%S-$UUID"},
	{Name: delimiters, Session: true, Default: "."},
	{Name: totalSize, Default: "8MiB"},
	{Name: uploadWait, Default: "5m"},
	{Name: format, Session: true, Default: jsonLines},
	{Name: dateKey, Session: true, Default: "date"},
	{Name: dateFormat, Session: true, Default: fluentbit.ISO8601},
	{Name: compression, Default: noneEncoding},
	{Name: contentType},
	{Name: storageClass},
	{Name: cannedACL},
	{Name: contentMD5, Default: "false"},
}, service.Options())

// Kind describes the router on a host.
func Kind(h *awsrouter.Host) router.Kind {
	parts := router.Parts{
		Op: op, List: options,
		Router: func(o router.Options) router.Router { return newRouter(h, o) },
		Check: func(_ router.Options, v *router.Values) {
			read(v)
			gather(v)
			service.Check(v)
		},
		Encoder: func(v *router.Values, s router.Session) router.Encoder { return encoderOf(v, s) },
		Gather:  gather,
	}
	return router.Kind{
		Name: "s3", Options: slices.Clone(options), Ports: awsrouter.Ports(), DefaultTag: "{{.Name}}/{{.ID}}", New: parts.Config,
		Addresses: func(v *router.Values) []router.Address {
			if v.Waits(bucket) {
				return nil
			}
			return h.Addresses(service, v, read(v).bucket)
		},
		Permissions: func(v *router.Values) []router.Permission {
			put := router.Permission{Action: "s3:PutObject", Resource: h.Resource(service, v, v.String(bucket, "*")+"/*")}
			all := []router.Permission{put}
			if v.Has(cannedACL) {
				all = append(all, router.Permission{Action: "s3:PutObjectAcl", Resource: put.Resource})
			}
			return append(all, service.Assumes(v)...)
		},
	}
}

// gather reads how large an object may be, and how long lines wait for others; the faults are in v.
func gather(v *router.Values) (bytes int, wait time.Duration) {
	for _, name := range []string{totalSize, uploadWait} {
		if v.IsSecret(name) {
			v.Refuse("log-opt %s decides how lines are kept, and cannot be a reference; write it into the options", name)
		}
	}
	wait = v.Duration(uploadWait, defaultWait, time.Second, longestWait)
	if !v.Has(totalSize) {
		return defaultObject, wait
	}
	n, err := size.Parse(v.String(totalSize, ""))
	if err != nil || n < smallestObject || n > largestObject {
		v.Refuse("log-opt %s: %s is not a size from 1000000 to 16MiB", totalSize, v.Shown(totalSize))
		return defaultObject, wait
	}
	return int(n), wait
}

// object is what the options say of all objects.
type object struct {
	bucket   string
	encoding string            // "" = none
	header   map[string]string // of the request
	md5      bool
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	headerWord = regexp.MustCompile(`^[\x21-\x7e]([\x20-\x7e]{0,200}[\x21-\x7e])?$`)
	upperWord  = regexp.MustCompile(`^[A-Z_]{1,40}$`)
)

// read reads them; the faults are in v.
func read(v *router.Values) object {
	o := object{bucket: v.String(bucket, ""), md5: v.Bool(contentMD5, false), header: map[string]string{}}
	if !v.Waits(bucket) && !bucketName.MatchString(o.bucket) {
		v.Refuse("log-opt %s: %s is not a name of a bucket, which has 3 to 63 small letters, digits, dots and hyphens", bucket, v.Shown(bucket))
	}
	if word := v.OneOf(compression, noneEncoding, router.Gzip, router.Zstd, router.Snappy); word != noneEncoding {
		o.encoding = word
		o.header["Content-Encoding"] = word
	}
	for _, x := range []struct {
		name, header string
		is           *regexp.Regexp
		example      string
	}{
		{contentType, "Content-Type", headerWord, "application/x-ndjson"}, {storageClass, "X-Amz-Storage-Class", upperWord, "STANDARD_IA"},
		{cannedACL, "X-Amz-Acl", headerWord, "bucket-owner-full-control"},
	} {
		switch value := v.String(x.name, ""); {
		case value == "":
		case !x.is.MatchString(value):
			v.Refuse("log-opt %s: %s cannot be sent; write a value such as %s", x.name, v.Shown(x.name), x.example)
		default:
			o.header[x.header] = value
		}
	}
	return o
}

// encoderOf makes the encoder of a session; the faults are in v.
func encoderOf(v *router.Values, s router.Session) *Encoder {
	e := &Encoder{id: s.ID}
	text := v.String(keyFormat, "/$TAG/%Y/%m/%d/%H-%M-%S-$UUID")
	var err error
	if e.key, err = parseKey(text, s.Tag, v.String(delimiters, ".")); err != nil {
		v.Refuse("log-opt %s: %s: %v", keyFormat, v.Shown(keyFormat), err)
	}
	date := v.OneOf(dateFormat, fluentbit.ISO8601, fluentbit.Double, fluentbit.Epoch, fluentbit.EpochMS, fluentbit.JavaSQL)
	if v.OneOf(format, jsonLines, raw) == jsonLines {
		e.object = fluentbit.NewObject(v.String(dateKey, "date"), date, fluentbit.NewRecord(s, fluentbit.Shape{}, maxText))
	}
	return e
}

// plainKey reports whether a text can be a part of a key.
func plainKey(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}
