module github.com/asmjwt/kubectl-asmjwt/test/release

go 1.26.0

require github.com/creack/pty v1.1.24
