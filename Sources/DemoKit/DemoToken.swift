import CSystemShims

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A token of SoftHSM for the demo's key holder, in a directory of its own.
struct DemoToken: Sendable {
    static let label = "demo"
    private static let modules = [
        "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/lib64/softhsm/libsofthsm2.so",
    ]

    let directory: String
    let module: String
    let pin: String

    /// What the module is told by the environment.
    var environment: [String] { ["SOFTHSM2_CONF=\(self.directory)/softhsm2.conf"] }

    /// - Returns: nil where SoftHSM is not installed.
    init?(directory: String) {
        guard let module = Self.modules.first(where: { access($0, R_OK) == 0 }) else { return nil }
        self.directory = directory
        self.module = module
        var random = SystemRandomNumberGenerator()
        self.pin = (0..<12).map { _ in String(Int.random(in: 0...9, using: &random)) }.joined()
    }

    /// Makes the token, empty.
    ///
    /// - Parameter write: Writes a file into the directory, for its owner alone.
    func make(_ write: (_ text: String, _ name: String) throws -> Void) throws {
        guard mkdir("\(self.directory)/tokens", 0o700) == 0 else {
            throw DemoFailure.system("make \(self.directory)/tokens", errno)
        }
        try write(
            "directories.tokendir = \(self.directory)/tokens/\nobjectstore.backend = file\nlog.level = ERROR\n",
            "softhsm2.conf")
        // The tool takes PINs as arguments alone; this one ends with the demo.
        try self.run(["--init-token", "--free", "--label", Self.label, "--so-pin", self.pin, "--pin", self.pin])
    }

    /// Takes a private key in.
    ///
    /// - Parameter file: PKCS#8, PEM; it is to be removed then.
    func take(_ file: String, as name: String, number: Int) throws {
        try self.run([
            "--import", file, "--token", Self.label, "--label", name, "--id", String(number + 0x10, radix: 16), "--pin",
            self.pin,
        ])
    }

    /// How the key holder's file names a key.
    func name(of key: String) -> String { "\"pkcs11:token=\(Self.label);object=\(key)\"" }

    private func run(_ arguments: [String]) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        let list: [UnsafeMutablePointer<CChar>?] = (["softhsm2-util"] + arguments).map { strdup($0) } + [nil]
        let variables: [UnsafeMutablePointer<CChar>?] = self.environment.map { strdup($0) } + [nil]
        defer { (list + variables).forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawnp(&pid, "softhsm2-util", &actions, nil, list, variables)
        guard failure == 0 else { throw DemoFailure.system("start softhsm2-util", failure) }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        guard status == 0 else {
            throw DemoFailure.unexpectedOutput("softhsm2-util \(arguments[0]) failed; does SoftHSM work here?")
        }
    }
}
