// Command hello is what any Go program costs.
package main

import "fmt"

func main() { fmt.Println("Hello, world!") }
