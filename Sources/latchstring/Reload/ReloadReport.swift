import Admin
import Settings

/// What came of reading a configuration again: for the log, and as JSON between the admin port and `latchstring reload`.
struct ReloadReport: Codable, Equatable, Sendable {
    var reloaded: Bool
    /// Errors where it was refused, and warnings.
    var messages: [String] = []
    /// Keys of the file whose changes take a restart.
    var restart: [String] = []
}

extension ReloadReport {
    /// What an edge says to `--revoke-old`.
    static let noKeys = ReloadReport(
        reloaded: false, messages: ["error: an edge has no keys that could be revoked. Ask the key holder."])

    /// `POST /reload`, or `POST /reload?revoke-old=1`.
    ///
    /// - Parameter reload: told whether keys that are or were replaced are to end at once.
    static func endpoint(_ reload: @escaping @Sendable (_ revokingReplaced: Bool) async -> ReloadReport)
        -> AdminEndpoint
    {
        AdminEndpoint(method: "POST", path: "/reload") { request in
            AdminAnswer(await reload(request.parameter("revoke-old") == "1"))
        }
    }

    /// What is wrong with a file, or with what it names.
    init(refused error: any Error, warnings: [SettingsDiagnostic] = []) {
        self.init(reloaded: false, messages: warnings.map { "\($0)" } + ["\(error)"])
    }
}
