package main

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"strconv"
	"strings"
)

// chart is a picture of bars, one for each row, of one piece for each series.
type chart struct {
	name   string // of its files
	title  string // with the unit
	series []string
	bars   []bar
}

type bar struct {
	label  string
	pieces []float64
}

// charts are those of the parts that were measured.
func (r *results) charts() (all []chart) {
	cpu := chart{name: "cpu", title: "CPU, µs a line, dockerd and log driver or collector", series: []string{"dockerd", "driver or collector"}}
	wall := chart{name: "wall", title: fmt.Sprintf("Wall time of a container that writes %d lines as fast as they are taken, ms", r.lines), series: []string{"wall"}}
	for _, s := range r.setups {
		c := r.runs[s.name]
		if s.part > 0 {
			continue // it would make all others short
		}
		cpu.bars = append(cpu.bars, bar{s.name, []float64{spread(c, spent.dockerd).Median, spread(c, spent.ours).Median}})
		wall.bars = append(wall.bars, bar{s.name, []float64{spread(c, spent.whole).Median}})
	}
	alone := chart{name: "alone", title: "The log driver alone, CPU, µs a line", series: []string{"driver"}}
	for _, x := range targets {
		if len(r.fed[x]) > 0 {
			took, _ := spreads(r.fed[x])
			alone.bars = append(alone.bars, bar{x.String(), []float64{took.Median}})
		}
	}
	fast := chart{name: "rates", title: "CPU of a core in percent, both into VictoriaLogs", series: []string{"dockerd", "driver or collector"}}
	for _, p := range r.paced {
		label := fmt.Sprintf("%d lines/s of %d bytes: %s", p.rate, p.size, strings.TrimSuffix(p.name, ", "+intoVictoriaLogs))
		fast.bars = append(fast.bars, bar{label, []float64{100 * (p.core - p.plugin), 100 * p.plugin}})
	}
	for _, c := range []chart{cpu, wall, alone, fast} {
		if len(c.bars) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// source is the chart as text: the title, the names of the columns, and a line for each bar, with tabs between the columns.
func (c *chart) source() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\t%s\n", c.title, strings.Join(c.series, "\t"))
	for _, x := range c.bars {
		b.WriteString(x.label)
		for _, p := range x.pieces {
			fmt.Fprintf(&b, "\t%.2f", p)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// readChart reads what source has written.
func readChart(text []byte) (c chart, err error) {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) < 3 {
		return c, errors.New("a chart has a title, names of columns and a bar")
	}
	c.title, c.series = lines[0], strings.Split(lines[1], "\t")[1:]
	for _, l := range lines[2:] {
		cells := strings.Split(l, "\t")
		if len(cells) != 1+len(c.series) {
			return c, fmt.Errorf("%q has %d columns, want %d", l, len(cells), 1+len(c.series))
		}
		x := bar{label: cells[0]}
		for _, text := range cells[1:] {
			p, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return c, err
			}
			x.pieces = append(x.pieces, p)
		}
		c.bars = append(c.bars, x)
	}
	return c, nil
}

// Measures of a picture, in pixels.
const (
	labelWidth = 380
	barWidth   = 440
	rowHeight  = 20
	topHeight  = 50
	margin     = 10
)

// Colours of the pieces of a bar, which can be told apart on a light and on a dark page.
var colours = []string{"#7a8ca3", "#d9822b"}

// style makes the words of a picture readable on a light and on a dark page. A picture has no background of its own.
const style = `<style>
text { fill: #1f2328 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>
`

// draw makes an SVG picture of the text of a chart.
func draw(source []byte) ([]byte, error) {
	c, err := readChart(source)
	if err != nil {
		return nil, err
	}
	longest := 0.0
	for _, x := range c.bars {
		longest = max(longest, x.length())
	}
	if longest == 0 {
		longest = 1
	}
	var b bytes.Buffer
	width, height := labelWidth+barWidth+80, topHeight+rowHeight*len(c.bars)+margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	b.WriteString(style)
	words := func(x, y int, more, text string) {
		fmt.Fprintf(&b, `<text x="%d" y="%d"%s>%s</text>`+"\n", x, y, more, html.EscapeString(text))
	}
	words(margin, 18, ` font-size="14" font-weight="bold"`, c.title)
	if len(c.series) > 1 {
		for i, s := range c.series {
			x := labelWidth + i*120
			fmt.Fprintf(&b, `<rect x="%d" y="29" width="10" height="10" fill="%s"/>`+"\n", x, colours[i%len(colours)])
			words(x+15, 38, "", s)
		}
	}
	for i, x := range c.bars {
		y, at := topHeight+rowHeight*i, float64(labelWidth)
		words(labelWidth-8, y+13, ` text-anchor="end"`, x.label)
		for k, p := range x.pieces {
			long := p / longest * barWidth
			fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", at, y+2, long, rowHeight-5, colours[k%len(colours)])
			at += long
		}
		words(int(at)+6, y+13, "", strconv.FormatFloat(x.length(), 'f', 2, 64))
	}
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

func (b bar) length() (sum float64) {
	for _, p := range b.pieces {
		sum += p
	}
	return sum
}
