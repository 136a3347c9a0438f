// Command kubectl is kubectl as its own library makes it, of the version of client-go that
// the plugin is built with: what the plugin's size is measured against.
package main

import (
	"os"

	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl has them
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() {
	os.Exit(cli.Run(cmd.NewDefaultKubectlCommand()))
}
