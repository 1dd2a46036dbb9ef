import Admin
import Foundation
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
    /// `POST /reload`.
    static func endpoint(_ reload: @escaping @Sendable () async -> ReloadReport) -> AdminEndpoint {
        AdminEndpoint(method: "POST", path: "/reload") { _ in
            let report = await reload()
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            guard let data = try? encoder.encode(report) else {
                return .failure(500, "the answer can't be written as JSON")
            }
            return AdminAnswer(json: String(decoding: data, as: UTF8.self) + "\n")
        }
    }

    /// What is wrong with a file, or with what it names.
    init(refused error: any Error, warnings: [SettingsDiagnostic] = []) {
        self.init(reloaded: false, messages: warnings.map { "\($0)" } + ["\(error)"])
    }
}
