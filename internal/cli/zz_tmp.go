package cli

import "github.com/spf13/cobra"

func (e *env) doctor() *cobra.Command { return &cobra.Command{Use: "doctor"} }
func (e *env) image() *cobra.Command  { return &cobra.Command{Use: "image"} }
func (e *env) vm() *cobra.Command     { return &cobra.Command{Use: "vm"} }
func (e *env) demo() *cobra.Command   { return &cobra.Command{Use: "demo"} }
