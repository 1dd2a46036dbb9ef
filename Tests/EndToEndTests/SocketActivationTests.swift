import Foundation
import TestSockets
import Testing

/// Sockets that systemd passes, and what it is told: with the real binary, started as systemd does it.
@Suite(.serialized, .timeLimit(.minutes(3))) struct SocketActivationTests {
    /// Binds sockets, and becomes `latchstring` with them: `PORT…` are those that it listens at, `-` stands for /dev/null.
    private static let activator = """
        import os, socket, sys
        program, ports, arguments = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
        for number, port in enumerate(ports):
            if port == "-": descriptor = os.open("/dev/null", os.O_RDONLY)
            else:
                one = socket.socket(); one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(("127.0.0.1", int(port))); one.listen(64); descriptor = one.detach()
            os.dup2(descriptor, 100 + number)
        for number in range(len(ports)): os.dup2(100 + number, 3 + number, inheritable=True)
        os.environ["LISTEN_FDS"] = str(len(ports)); os.environ["LISTEN_PID"] = str(os.getpid())
        os.execv(program, [program] + arguments)
        """

    /// Prints what comes to the socket that `NOTIFY_SOCKET` names, until its standard input ends, as it does with the test.
    private static let manager = """
        import select, socket, sys
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); one.bind(sys.argv[1])
        print("bound", flush=True)
        while one in select.select([one, sys.stdin], [], [])[0]:
            print(one.recv(4096).decode().replace("\\n", "|"), flush=True)
        """

    private static func relay(_ workspace: Workspace, listen: UInt16, admin: UInt16, to port: UInt16) throws {
        try workspace.write(
            """
            role: edge
            listen: [127.0.0.1:\(listen)]
            admin: 127.0.0.1:\(admin)
            threads: 2
            log: { format: json }
            sites:
              - { domains: [three.test], mode: relay, origin: { address: "127.0.0.1:\(port)" } }

            """, to: "edge.yaml")
    }

    private static func start(
        _ workspace: Workspace, ports: String, notify: String? = nil, watchdog: Int? = nil,
        variables: [String] = []
    ) throws -> TestProcess {
        try workspace.write(Self.activator, to: "activator.py")
        var variables = variables
        if let notify { variables.append("NOTIFY_SOCKET=\(notify)") }
        if let watchdog { variables.append("WATCHDOG_USEC=\(watchdog)") }
        return try TestProcess(
            variables + [
                "python3", workspace.path("activator.py"), TestProcess.executable.path, ports, "edge", "--config",
                "edge.yaml",
            ], name: "edge", program: "env", in: workspace)
    }

    @Test(
        "Sockets of clients and of the admin port are taken; the service manager hears of start, reload, watchdog and end"
    )
    func activation() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("three.test")
        let origin = try await TLSOrigin(domain: "three.test", text: "from the origin", in: workspace)
        let (listen, admin) = (try Workspace.freePort(), try Workspace.freePort())
        try Self.relay(workspace, listen: listen, admin: admin, to: origin.port)
        try workspace.write(Self.manager, to: "manager.py")
        let manager = try InteractiveTool(
            "python3", [workspace.path("manager.py"), workspace.path("notify")], in: workspace)
        try manager.wait(for: "bound")
        let edge = try Self.start(
            workspace, ports: "\(listen),\(admin)", notify: workspace.path("notify"), watchdog: 200_000)
        try manager.wait(for: "READY=1|STATUS=serving one site|MAINPID=\(edge.pid)")
        for _ in 0..<8 {
            #expect(try Tool.curl("https://three.test/", to: listen, workspace).output == "from the origin")
        }
        #expect(try TestSocket.connect(port: admin).endsQuietly == false)
        try manager.wait(for: "WATCHDOG=1|STATUS=serving one site", times: 5)
        kill(edge.pid, SIGHUP)
        try manager.wait(for: "RELOADING=1|MONOTONIC_USEC=")
        try manager.wait(for: "READY=1", times: 2)
        // A successor is told of before it tells anything itself.
        kill(edge.pid, SIGUSR2)
        let line = try edge.wait(for: "handed over")
        let successor = try #require(line["process"].flatMap { Int32($0) })
        try manager.wait(for: "|MAINPID=\(successor)")
        #expect(manager.text.contains("\nMAINPID=\(successor)\n"), "\(manager.text)")
        #expect(try edge.waitForExit() == 0)
        #expect(!manager.text.contains("STOPPING=1"))
        #expect(try Tool.curl("https://three.test/", to: listen, workspace).output == "from the origin")
        kill(successor, SIGTERM)
        try manager.wait(for: "STOPPING=1")
        _ = try eventually("the successor's end") { kill(successor, 0) != 0 ? true : nil }
        try manager.finish()
        try await origin.stop()
    }

    @Test("In a unit that hears of no successor, none is started, and the edge goes on")
    func unheard() throws {
        let workspace = try Workspace()
        let (listen, admin) = (try Workspace.freePort(), try Workspace.freePort())
        try Self.relay(workspace, listen: listen, admin: admin, to: 9)
        let edge = try Self.start(workspace, ports: "\(listen),\(admin)", variables: ["INVOCATION_ID=0123"])
        try edge.wait(for: "admin port open")
        // Signals are ignored until they are listened for.
        let line = try eventually("the refusal") {
            kill(edge.pid, SIGUSR2)
            return edge.lines("not handed over; everything stays as it was").first
        }
        #expect(line["reason"]?.contains("the unit needs Type=notify") == true, "\(line.fields)")
        #expect(edge.lines("handing over").isEmpty)
        #expect(try TestSocket.connect(port: admin).endsQuietly == false)
        edge.stop()
    }

    @Test(
        "A hostile environment is refused, with what is wrong",
        arguments: [
            ("LISTEN_FDS=99999 LISTEN_PID=$$", "LISTEN_FDS is \"99999\""),
            ("LISTEN_FDS=-1 LISTEN_PID=$$", "LISTEN_FDS is \"-1\""),
            ("LISTEN_FDS=1 LISTEN_PID=1", "LISTEN_PID is \"1\", which is not this process"),
            ("LISTEN_FDS=1", "LISTEN_PID is \"\", which is not this process"),
            ("LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=a", "LISTEN_FDNAMES has 1 names for 2 descriptors"),
            (
                "LISTEN_FDS=1 LISTEN_PID=$$",
                "descriptor 3 (unknown) was passed as a listening TCP socket, and it is no socket"
            ),
            ("LATCHSTRING_SUCCESSION=1", "LATCHSTRING_SUCCESSION is not what a running latchstring sets"),
            ("LATCHSTRING_SUCCESSION=\"$PPID x\"", "LATCHSTRING_SUCCESSION is not what a running latchstring sets"),
        ])
    func hostile(environment: String, message: String) throws {
        let workspace = try Workspace()
        try Self.relay(workspace, listen: 0, admin: try Workspace.freePort(), to: 9)
        for party in ["edge", "keyholder"] {
            let result = try Tool.run(
                "sh",
                [
                    "-c",
                    "\(environment) exec '\(TestProcess.executable.path)' \(party) --config '\(workspace.path("edge.yaml"))' 3</dev/null",
                ])
            #expect(result.status == 1 && result.all.contains(message), "\(result.all)")
        }
    }

    @Test("A socket that the configuration does not have is an error, and so is a descriptor that is no socket")
    func unused() throws {
        let workspace = try Workspace()
        let (listen, admin, other) = (
            try Workspace.freePort(), try Workspace.freePort(), try Workspace.freePort()
        )
        try Self.relay(workspace, listen: listen, admin: admin, to: 9)
        let edge = try Self.start(workspace, ports: "\(listen),\(other)")
        #expect(try edge.waitForExit() == 1)
        #expect(edge.text.contains("systemd passes a socket at 127.0.0.1:\(other)"), "\(edge.text)")
        let second = try Self.start(workspace, ports: "\(listen),-")
        #expect(try second.waitForExit() == 1)
        #expect(second.text.contains("descriptor 4 (unknown)"), "\(second.text)")
    }
}

extension TestSocket {
    /// Whether an answer to a health check is missing.
    fileprivate var endsQuietly: Bool {
        get throws {
            try self.send(Array("GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8))
            return try self.receiveToEnd().isEmpty
        }
    }
}
