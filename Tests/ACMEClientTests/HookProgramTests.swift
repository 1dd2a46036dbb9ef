import ACMEClient
import Foundation
import Testing

/// Programs for dns-01: what they get, and how they fail.
@Suite(.serialized, .timeLimit(.minutes(2))) struct HookProgramTests {
    private static func run(_ script: String, timeout: Duration = .seconds(20)) throws -> (
        failure: String?, folder: Folder
    ) {
        let folder = try Folder()
        folder.write("#!/bin/sh\ncd \(folder.path)\n\(script)\n", "hook", mode: 0o700)
        let hook = HookProgram(command: ["\(folder.path)/hook", "one word", "two"], timeout: timeout)
        do {
            try hook.run(.present, domain: "www.test", record: "_acme-challenge.www.test", value: "v")
            return (nil, folder)
        } catch {
            return (error.description, folder)
        }
    }

    @Test func whatItGets() throws {
        setenv("SECRET_OF_THE_KEY_HOLDER", "x", 1)
        // A descriptor without close-on-exec, as sockets have.
        let leak = dup(2)
        defer { close(leak) }
        let (failure, folder) = try Self.run(
            "env | sort > env; echo \"$1|$2\" > arguments; ls /proc/self/fd > descriptors")
        #expect(failure == nil)
        #expect(folder.read("arguments") == "one word|two\n")
        let environment = folder.read("env") ?? ""
        #expect(
            environment.contains(
                "ACME_ACTION=present\nACME_DOMAIN=www.test\nACME_RECORD=_acme-challenge.www.test\nACME_VALUE=v\n"))
        #expect(!environment.contains("SECRET"))
        // 3 is the folder that ls reads; a shell may keep its script open as another.
        let descriptors = (folder.read("descriptors") ?? "").split(separator: "\n")
        #expect(descriptors.count <= 5 && !descriptors.contains("\(leak)") || leak < 5, "\(descriptors)")
    }

    @Test func howItFails() throws {
        let (failure, folder) = try Self.run("echo not allowed >&2; exit 7")
        #expect(failure == "\(folder.path)/hook failed with exit status 7: not allowed")
        let (signal, other) = try Self.run("kill -9 $$")
        #expect(signal == "\(other.path)/hook was ended by signal 9")
        do {
            try HookProgram(command: ["/no/such/program"], timeout: .seconds(1)).run(
                .cleanup, domain: "a", record: "b", value: "c")
            Issue.record("it ran")
        } catch {
            #expect(error.description == "cannot start /no/such/program: No such file or directory")
        }
        let (long, _) = try Self.run("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1")
        #expect((long ?? "").utf8.count < 3000)
    }

    /// With its children, which would hold the pipe open.
    @Test func itIsStoppedWhenItsTimeIsUp() throws {
        let began = ContinuousClock.now
        let (failure, folder) = try Self.run("echo waiting >&2; sleep 60 & echo $! > child; wait", timeout: .seconds(1))
        #expect(failure == "\(folder.path)/hook did not end within 1.0 seconds, and was stopped: waiting")
        #expect(ContinuousClock.now - began < .seconds(20))
        let child = try #require(Int32((folder.read("child") ?? "").trimmingCharacters(in: .whitespacesAndNewlines)))
        var isGone = false
        for _ in 0..<200 where !isGone {
            isGone = kill(child, 0) != 0
            if !isGone { usleep(20_000) }
        }
        #expect(isGone)
    }
}
