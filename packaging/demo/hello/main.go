// Command hello is all that the demo's image holds.
package main

import "fmt"

func main() { fmt.Println("hello from a private image") }
