package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // S3 wants this one
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"slices"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	maxText = 900_000 // of a line
	mark    = 16      // bytes before each record: its time and its position, of which those of the first make the key
)

// Encoder writes the records of one session, each with a newline behind it and a mark before it.
type Encoder struct {
	id     string // of the session
	key    key
	object *fluentbit.Object // nil = the line alone
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.TimeNano)) //nolint:gosec // it may be negative
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Position)) //nolint:gosec // likewise
	if e.object != nil {
		return append(e.object.AppendObject(dst, r), '\n')
	}
	line, cut := router.Cut(r.Line, maxText)
	return append(append(append(dst, line...), cut...), '\n')
}

// keyOf returns the key of the object that begins with an encoded record.
func (e *Encoder) keyOf(record []byte) string {
	nano, position := binary.BigEndian.Uint64(record), binary.BigEndian.Uint64(record[mark/2:])
	return e.key.of(e.id, int64(nano), int64(position)) //nolint:gosec // they were
}

// Router sends batches to one bucket.
type Router struct {
	client *awsrouter.Client
	idle   router.Buffers
	zips   map[string]*router.Compressor
}

func newRouter(h *awsrouter.Host, o router.Options) *Router {
	r := &Router{client: awsrouter.NewClient(h, awsrouter.ClientConfig{Service: service, Op: op, Options: o, List: options}), zips: map[string]*router.Compressor{}}
	for _, encoding := range []string{router.Gzip, router.Zstd, router.Snappy} {
		r.zips[encoding] = router.NewCompressor(encoding, router.DefaultLevel)
	}
	return r
}

// Note implements router.Noter.
func (r *Router) Note() string { return r.client.Note() }

// Close implements router.Router.
func (r *Router) Close() error {
	r.client.Close()
	return nil
}

// Send implements router.Router. The records of each session make an object.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	u, failed := r.client.Begin(ctx)
	if failed != nil {
		return failed
	}
	return b.SendAlike(math.MaxInt, math.MaxInt, func(first, next router.Encoder) bool { return first == next }, func(part *router.Batch) *router.Error {
		return r.put(ctx, u, part)
	})
}

// put stores the records of one session as an object.
func (r *Router) put(ctx context.Context, u *awsrouter.Use, b *router.Batch) *router.Error {
	e, _ := b.Runs[0].Encoder.(*Encoder)
	o := read(u.Values)
	buf := r.idle.Get()
	defer r.idle.Put(buf)
	*buf = slices.Grow((*buf)[:0], len(b.Body)) // at once: an object has megabytes, and such a buffer is not kept
	for i := range b.Len() {
		*buf = append(*buf, b.Body[b.Start(i)+mark:b.Ends[i]]...)
	}
	body := *buf
	doing := "send to bucket " + o.bucket + " (" + u.Shown() + ")"
	if o.encoding != "" {
		z, err := r.zips[o.encoding].Compress(body)
		if err != nil {
			return &router.Error{Class: router.ClassConfig, Op: doing, Cause: err.Error(), Bad: router.NoRecord, Err: err}
		}
		defer z.Release()
		body = z.Bytes()
	}
	header := http.Header{}
	for name, value := range o.header {
		header.Set(name, value)
	}
	if o.md5 {
		sum := md5.Sum(body) //nolint:gosec // S3 wants this one
		header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	if no := u.Put(ctx, doing, awsrouter.Object{Bucket: o.bucket, Key: e.keyOf(b.Body), Header: header, Body: body}); no != nil {
		return explained(no)
	}
	return nil
}

// explained says what to do about a refusal that is about the options or the bucket.
func explained(no *awsrouter.Refusal) *router.Error {
	e := no.Error
	switch {
	case no.Region != "":
		e.Hint = "the bucket is in " + no.Region + ": write s3-region=" + no.Region
	case no.Is("NoSuchBucket"):
		e.Hint = "compare the name in " + bucket
	case no.Is("AccessDenied"):
		e.Hint = "let the policy of this identity, and that of the bucket, allow s3:PutObject on its objects, and the use of its key"
	case no.Is("AccessControlListNotSupported"):
		e.Hint = "leave out " + cannedACL + ": the bucket takes no access control lists"
	case no.Is("KeyTooLongError"):
		e.Hint = "shorten " + keyFormat
	}
	return e
}
