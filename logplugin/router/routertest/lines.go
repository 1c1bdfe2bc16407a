package routertest

import (
	"fmt"
	"math/rand/v2"
)

// Lines returns n lines of 100 bytes that differ as those of a web server do, the same at every call: for benchmarks,
// where equal lines would make compression look cheap.
func Lines(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	methods, paths := []string{"GET", "POST", "PUT"}, []string{"/api/v1/orders", "/index.html", "/api/v1/users/profile", "/healthz"}
	var out [][]byte
	for i := range n {
		l := fmt.Appendf(nil, "2026-11-23T19:%02d:%02d.%03dZ 10.0.%d.%d \"%s %s\" %d %d id=%016x%016x", i/60%60, i%60, r.IntN(1000), r.IntN(256), r.IntN(256),
			methods[r.IntN(3)], paths[r.IntN(4)], 200+r.IntN(4)*100, r.IntN(100000), r.Uint64(), r.Uint64())
		out = append(out, append(l, "                                "...)[:100])
	}
	return out
}
