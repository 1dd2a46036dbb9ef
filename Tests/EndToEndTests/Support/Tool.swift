import TestSockets

/// Clients against a loopback port, with the roots of a test's workspace.
extension Tool {
    static func exists(_ program: String) -> Bool {
        (try? self.run("which", [program]).status) == 0
    }

    /// `openssl s_client` against a loopback port, verifying with the workspace's roots.
    static func openssl(_ port: UInt16, _ workspace: Workspace, _ arguments: String..., input: String = "") throws
        -> Result
    {
        try self.run(
            "openssl",
            [
                "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", workspace.path("roots.pem"),
                "-verify_return_error",
            ]
                + arguments, input: input)
    }

    /// `curl` with a URL whose host is taken to a loopback port, verifying with the workspace's roots.
    static func curl(_ url: String, to port: UInt16, _ workspace: Workspace, _ arguments: String...) throws -> Result {
        try self.run(
            "curl",
            [
                "-sS", "--max-time", "20", "--cacert", workspace.path("roots.pem"), "--connect-to",
                "::127.0.0.1:\(port)", url,
            ]
                + arguments)
    }
}
