//! The distribution as a picture: a row for each scenario, a dot for each run, a bar at the median.

use std::fmt::Write as _;

use crate::report::{Report, median};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 190.0;
const ROW: f64 = 34.0;
/// The axis, in seconds: logarithmic, from the first to the last.
const AXIS: [f64; 7] = [0.05, 0.1, 0.25, 0.5, 1.0, 4.0, 16.0];

/// The picture as SVG. Neutral colours that can be read on light and dark pages.
pub fn svg(report: &Report) -> String {
    let rows = report.scenarios();
    let bottom = 40.0 + ROW * f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#808080\">\n\
         <title>Seconds from a death to the next answer. {}</title>\n",
        bottom + 40.0,
        report.programs
    );
    // Writing to a String cannot fail.
    for tick in AXIS {
        let at = x(tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"20\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#808080\" opacity=\"0.3\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick} s</text>",
            bottom + 20.0
        );
    }
    let mut y = 40.0;
    for (scenario, measured) in rows {
        let _ = writeln!(
            svg,
            "<text x=\"10\" y=\"{:.1}\">{}</text>",
            y + 4.0,
            scenario.name()
        );
        for seconds in &measured.seconds {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#2f81f7\" opacity=\"0.5\"/>",
                x(*seconds)
            );
        }
        let at = x(median(&measured.seconds));
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#f78166\" stroke-width=\"3\"/>",
            y - 11.0,
            y + 11.0
        );
        y += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}

fn x(seconds: f64) -> f64 {
    let (from, to) = (AXIS[0].ln(), AXIS[AXIS.len() - 1].ln());
    let share = (seconds.max(AXIS[0]).ln() - from) / (to - from);
    LEFT + share.min(1.0) * (WIDTH - LEFT - 30.0)
}
