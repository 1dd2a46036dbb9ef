public import CAARecords
import EdgeModel
import FoundationEssentials
public import Settings
import TLSWire

/// `latchstring check`: what a configuration names, checked end to end. Each thing is one line of the report.
public struct ConfigurationCheck {
    private let report: CheckReport
    private let resolver: SystemResolver
    private let offline: Bool

    /// - Parameters:
    ///   - resolver: asked for CAA records.
    ///   - offline: connect to nothing, and look nothing up.
    public init(report: CheckReport, resolver: SystemResolver, offline: Bool) {
        self.report = report
        self.resolver = resolver
        self.offline = offline
    }

    /// Checks what was read from a file, its warnings included. A failure is a line, too.
    public func run(_ loaded: LoadedSettings) async {
        for warning in loaded.warnings {
            self.report.warn(warning.location, warning.message, remedy: warning.remedy)
        }
        let domains: [(domain: ServerNamePattern, location: SourceLocation)]
        switch loaded.party {
        case .edge(let settings):
            await EdgeCheck(settings: settings, report: self.report, offline: self.offline, now: Date()).run()
            domains = zip(settings.sites, settings.places).flatMap { site, place in
                site.domains.map { ($0, place.site) }
            }
        case .keyHolder(let settings):
            domains = KeyHolderCheck(
                settings: settings, report: self.report, offline: self.offline, now: Date()
            ).run()
            if !self.offline { await DialCheck(settings: settings, report: self.report).run() }
        case .fleet(let settings):
            await FleetCheck(settings: settings.fleet, user: .command, report: self.report, now: Date()).run(
                authority: settings.authority, offline: self.offline)
            domains = []
        }
        if !self.offline { await CAACheck(report: self.report, resolver: self.resolver).run(domains) }
        self.report.finish()
    }
}
