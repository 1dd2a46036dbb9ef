import FoundationEssentials
import Settings
import Stapling

/// The files with OCSP responses of one site: what they are, now.
struct StapleCheck {
    private let paths: [String]
    private let site: String

    init(_ paths: [String], of site: String) {
        self.paths = paths
        self.site = site
    }

    func add(to report: CheckReport, _ place: SourceLocation) {
        for path in self.paths {
            let files = StapleFiles([path])
            files.read()
            let finding = files.find(for: nil, now: Int64(Date().timeIntervalSince1970))
            switch finding {
            case .none: break
            case .good:
                let end = finding.end.map { " until \(Date(timeIntervalSince1970: Double($0)).ISO8601Format())" }
                report.ok(place, "site \(self.site): the OCSP response in \(path) is good\(end ?? "")")
            case .problem(let reason):
                report.warn(
                    place, "site \(self.site): no OCSP response is shown: \(reason)",
                    remedy: "Have what fetches it write a whole new file in its place.")
            }
        }
    }
}
