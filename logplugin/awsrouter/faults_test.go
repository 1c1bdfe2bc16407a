package awsrouter_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// fault is what happens to the second of three batches, and what the delivery is told until all lines are taken.
type fault struct {
	name  string
	only  string // the name of the only service that has it; "records" = those that answer record by record; "" = all
	make  func(t *testing.T, u *setup)
	want  []router.Class
	times int  // so often a line may be stored at most; 0 = 1
	mixed bool // the lines of a container may change places
	real  bool // also in front of a service that we did not write
}

// said is a fault in which the service gives this answer once.
func said(name string, want router.Class, a awstest.Answer) fault {
	return fault{name: name, want: []router.Class{want}, make: func(_ *testing.T, u *setup) { u.receiver.Say(a) }}
}

// happens is a fault of the connection or of what stands in between, once.
func happens(name string, want router.Class, m routertest.Mishap) fault {
	return fault{name: name, want: []router.Class{want}, make: func(_ *testing.T, u *setup) { u.receiver.Fail(m) }}
}

// throttles are all spellings of throttling.
func throttles() (all []fault) {
	for _, code := range []string{
		"ThrottlingException", "Throttling", "ThrottledException", "RequestThrottledException", "RequestThrottled", "TooManyRequestsException", "RequestLimitExceeded",
		"ProvisionedThroughputExceededException", "LimitExceededException", "SlowDown", "PriorRequestNotComplete", "TransactionInProgressException",
	} {
		all = append(all, said(code, router.ClassRetry, awstest.Answer{Code: code, Message: "Rate exceeded"}))
	}
	all = append(all,
		said("with a namespace", router.ClassRetry, awstest.Answer{Code: "com.amazonaws.logs#ThrottlingException"}),
		said("with an address", router.ClassRetry, awstest.Answer{Code: "ThrottlingException:http://internal.amazon.com/coral/"}),
		said("in a header", router.ClassRetry, awstest.Answer{Code: "ThrottlingException", InHeader: true}),
		said("with another status", router.ClassRetry, awstest.Answer{Code: "ThrottlingException", Status: http.StatusTooManyRequests}),
		happens("429 without a word", router.ClassRetry, routertest.Mishap{Status: http.StatusTooManyRequests}),
		happens("503 with a page", router.ClassRetry, routertest.Mishap{Status: http.StatusServiceUnavailable, HTML: true}))
	all[0].real = true
	return all
}

// ends are failures of the service and of connections.
func ends() []fault {
	lost := fault{name: "cut once it is stored", want: []router.Class{router.ClassRetry}, times: 2, real: true,
		make: func(_ *testing.T, u *setup) { u.receiver.Say(awstest.Answer{Cut: true}) }}
	known := fault{name: "cut once it is stored, which it remembers", only: "awslogs", want: []router.Class{router.ClassRetry}, real: true,
		make: func(_ *testing.T, u *setup) {
			u.receiver.Say(awstest.Answer{Cut: true}, awstest.Answer{Code: "DataAlreadyAcceptedException"})
		}}
	return []fault{
		said("InternalFailure", router.ClassRetry, awstest.Answer{Code: "InternalFailure", Status: http.StatusInternalServerError}),
		said("ServiceUnavailableException", router.ClassRetry, awstest.Answer{Code: "ServiceUnavailableException", Status: http.StatusServiceUnavailable}),
		said("an error that is new", router.ClassRetry, awstest.Answer{Code: "SomethingNew", Status: http.StatusInternalServerError}),
		said("InvalidSequenceTokenException", router.ClassRetry, awstest.Answer{Code: "InvalidSequenceTokenException", Message: "The next expected sequenceToken is: x"}),
		happens("502", router.ClassRetry, routertest.Mishap{Status: http.StatusBadGateway, HTML: true}),
		happens("504", router.ClassRetry, routertest.Mishap{Status: http.StatusGatewayTimeout}),
		happens("cut before it is stored", router.ClassRetry, routertest.Mishap{Drop: true}),
		happens("half an answer", router.ClassRetry, routertest.Mishap{Cut: true}),
		happens("more of an answer than there can be", router.ClassConfig, routertest.Mishap{Body: `{"a":"` + strings.Repeat("x", 2<<20) + `"}`, Type: "application/x-amz-json-1.1"}),
		happens("a page that says yes", router.ClassConfig, routertest.Mishap{HTML: true}),
		lost, known,
	}
}

// refusals are about who asks, and when.
func refusals() []fault {
	ahead := func(d time.Duration) fault {
		return fault{name: fmt.Sprintf("a clock that is %v ahead", d), make: func(_ *testing.T, u *setup) { u.receiver.SetAhead(d) }, real: d > 0}
	}
	rotated := fault{name: "credentials that are replaced", want: []router.Class{router.ClassCredentials}, real: true, make: func(_ *testing.T, u *setup) {
		u.receiver.SetKey(awstest.New)
		u.home.Write(awstest.New)
	}}
	return []fault{
		ahead(20 * time.Minute), ahead(-3 * time.Hour), rotated,
		said("ExpiredTokenException", router.ClassCredentials, awstest.Answer{Code: "ExpiredTokenException", Message: "The security token included in the request is expired"}),
		said("ExpiredToken", router.ClassCredentials, awstest.Answer{Code: "ExpiredToken"}),
		said("AccessDeniedException", router.ClassCredentials, awstest.Answer{Code: "AccessDeniedException"}),
		happens("403 without a word", router.ClassCredentials, routertest.Mishap{Status: http.StatusForbidden}),
	}
}

// missing are groups and streams that are not there any more.
func missing() []fault {
	gone := said("a stream that is missing", router.ClassConfig, awstest.Answer{Code: "ResourceNotFoundException", Message: "Stream is not there."})
	gone.only = "records"
	removed := func(name, which string) fault {
		return fault{name: name, only: "awslogs", real: true, make: func(t *testing.T, u *setup) {
			u.receiver.remove(t, which)
			u.lost(which)
		}}
	}
	limited := func(code string, calls int) fault {
		return fault{name: fmt.Sprintf("%s of create call %d", code, calls), only: "awslogs", want: []router.Class{router.ClassRetry}, make: func(t *testing.T, u *setup) {
			u.receiver.remove(t, "")
			u.lost("")
			u.receiver.Say(append(make([]awstest.Answer, calls), awstest.Answer{Code: code})...)
		}}
	}
	return []fault{
		gone, removed("a log group that is deleted", ""), removed("a log stream that is deleted", routertest.Session("one").ContainerID),
		limited("LimitExceededException", 1), limited("LimitExceededException", 2), limited("LimitExceededException", 3), limited("OperationAbortedException", 2), limited("ServiceUnavailableException", 3),
		limited("ThrottlingException", 3),
	}
}

// inPart are requests of which some records are taken.
func inPart() (all []fault) {
	for _, code := range []string{"ProvisionedThroughputExceededException", "ServiceUnavailableException", "InternalFailure", "SomethingNew"} {
		f := fault{name: "some records: " + code, only: "records", want: []router.Class{router.ClassRetry}, mixed: true, make: func(_ *testing.T, u *setup) {
			refused := map[string]bool{}
			u.receiver.fail(func(record string) string {
				if (strings.Contains(record, "0003") || strings.Contains(record, "1 0004")) && !refused[record] {
					refused[record] = true
					return code
				}
				return ""
			})
		}}
		f.real = len(all) == 0
		all = append(all, f)
	}
	return all
}

func faults() []fault { return slices.Concat(throttles(), ends(), refusals(), missing(), inPart()) }

// try has a fault happen to a service.
func (f fault) try(t *testing.T, u *setup) {
	if got := u.deliver(t, 2); len(got) > 0 {
		t.Fatalf("before the fault: %q", got)
	}
	f.make(t, u)
	if got := u.deliver(t, 6); !slices.Equal(got, f.want) {
		t.Errorf("failures %q, want %q", got, f.want)
	}
	if got := u.deliver(t, 2); len(got) > 0 {
		t.Errorf("after the fault: %q", got)
	}
	u.stored(t, max(f.times, 1), f.mixed)
}

// of reports whether a service can have the fault.
func (f fault) of(s service) bool {
	return f.only == "" || f.only == s.name || f.only == "records" && s.name != "awslogs"
}

// Each fault costs what it must: no line, and no line twice unless the service has taken it and could not say so.
func TestFaults(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		for _, f := range faults() {
			if f.of(s) {
				t.Run(f.name, func(t *testing.T) { f.try(t, s.on(t, "place", s.start("place"), nil)) })
			}
		}
	})
}
