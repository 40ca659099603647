//! Scenes to SVG and PNG by plotters.

use super::palette::Color;
use super::scene::{Anchor, Font, Point, Scene, Shape, dashes};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, TextStyle};
use std::path::Path;
use std::sync::OnceLock;

/// Backends count in whole pixels: drawing larger keeps quarters of a pixel.
const SCALE: f64 = 4.0;

/// A bitmap has two pixels for each CSS pixel; the rest of [`SCALE`] is averaged away.
const BITMAP_SCALE: usize = 2;

static REGULAR: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/DejaVuSans-Bold.ttf");

/// Height of the embedded font's line over its em, which plotters takes as the font's size.
const LINE_PER_EM: f64 = 1.164;

/// Makes the embedded font known to plotters, which finds no other.
fn register_fonts() -> Result<(), String> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = *DONE.get_or_init(|| {
        plotters::style::register_font("sans-serif", FontStyle::Normal, REGULAR).is_ok()
            && plotters::style::register_font("sans-serif", FontStyle::Bold, BOLD).is_ok()
    });
    done.then_some(())
        .ok_or_else(|| "the embedded font cannot be read".to_string())
}

fn style_of(bold: bool) -> FontStyle {
    if bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    }
}

/// Width of `text` in CSS pixels, in the embedded font (wider than most system fonts).
pub(crate) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    const FINE: f64 = 100.0;
    let estimate = 0.6 * size * text.chars().count() as f64;
    if register_fonts().is_err() {
        return estimate;
    }
    FontDesc::new(FontFamily::SansSerif, FINE * LINE_PER_EM, style_of(bold))
        .layout_box(text)
        .map_or(estimate, |(_, (width, _))| f64::from(width) * size / FINE)
}

/// Where two backends differ: the size that gives an em of 1, and the baseline below `VPos::Top`.
struct Metrics {
    size_per_em: f64,
    baseline_per_em: f64,
}

const SVG: Metrics = Metrics {
    size_per_em: 1.24,
    baseline_per_em: 0.76,
};
const BITMAP: Metrics = Metrics {
    size_per_em: LINE_PER_EM,
    baseline_per_em: LINE_PER_EM / 2.0,
};

fn pixel((x, y): Point) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

fn rgba(color: Color, alpha: f64) -> RGBAColor {
    let (r, g, b) = color.light();
    RGBAColor(r, g, b, alpha)
}

fn stroke_style(color: RGBAColor, width: f64) -> plotters::style::ShapeStyle {
    plotters::style::ShapeStyle {
        color,
        filled: false,
        stroke_width: (width * SCALE).round().max(1.0) as u32,
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn draw<B: DrawingBackend>(
    backend: &mut B,
    scene: &Scene,
    metrics: &Metrics,
) -> Result<(), String> {
    for shape in &scene.shapes {
        match shape {
            Shape::Line { points, stroke } => {
                let style = stroke_style(rgba(stroke.color, stroke.alpha), stroke.width);
                for piece in dashes(points, stroke.dash) {
                    backend
                        .draw_path(piece.into_iter().map(pixel), &style)
                        .map_err(said)?;
                }
            }
            Shape::Polygon {
                points,
                color,
                alpha,
            } => backend
                .fill_polygon(points.iter().copied().map(pixel), &rgba(*color, *alpha))
                .map_err(said)?,
            Shape::Disc {
                center,
                radius,
                color,
            } => backend
                .draw_circle(
                    pixel(*center),
                    (radius * SCALE).round() as u32,
                    &rgba(*color, 1.0),
                    true,
                )
                .map_err(said)?,
            Shape::Text {
                at,
                text,
                font,
                upward,
            } => draw_text(backend, *at, text, font, *upward, metrics)?,
            Shape::Note { .. } => {}
        }
    }
    Ok(())
}

fn draw_text<B: DrawingBackend>(
    backend: &mut B,
    (x, y): Point,
    text: &str,
    font: &Font,
    upward: bool,
    metrics: &Metrics,
) -> Result<(), String> {
    let em = font.size * SCALE;
    let rise = metrics.baseline_per_em * font.size;
    let (top, transform) = if upward {
        ((x - rise, y), FontTransform::Rotate270)
    } else {
        ((x, y - rise), FontTransform::None)
    };
    let h_pos = match font.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let desc = FontDesc::new(
        FontFamily::SansSerif,
        em * metrics.size_per_em,
        style_of(font.bold),
    )
    .transform(transform);
    let color = rgba(font.color, 1.0);
    let style = TextStyle::from(desc)
        .color(&color)
        .pos(Pos::new(h_pos, VPos::Top));
    backend.draw_text(text, &style, pixel(top)).map_err(said)
}

/// The scene as an SVG document that scales to where it is put.
///
/// `title` is what a screen reader says.
///
/// # Errors
///
/// What plotters says went wrong.
pub(crate) fn svg(scene: &Scene, title: &str) -> Result<String, String> {
    register_fonts()?;
    let (width, height) = pixel((scene.width, scene.height));
    let mut text = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut text, (width as u32, height as u32));
        draw(&mut backend, scene, &SVG)?;
        backend.present().map_err(said)?;
    }
    // plotters sizes the document by its drawing units; ours are a quarter of a pixel.
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    let body = body.trim_end().trim_end_matches("</svg>");
    Ok(format!(
        "<svg width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\">\n{body}{}</svg>\n",
        scene.width,
        scene.height,
        escape(title),
        notes(scene)
    ))
}

/// Invisible discs over the points, whose titles browsers show as tooltips.
fn notes(scene: &Scene) -> String {
    scene
        .shapes
        .iter()
        .filter_map(|shape| match shape {
            Shape::Note {
                center,
                radius,
                text,
            } => {
                let (x, y) = pixel(*center);
                let r = (radius * SCALE).round();
                Some(format!(
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"none\" pointer-events=\"all\"><title>{}</title></circle>\n",
                    escape(text)
                ))
            }
            _ => None,
        })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Writes the scene to `path` (whose name ends in `.png`) at two pixels for each CSS pixel.
///
/// # Errors
///
/// What plotters says went wrong.
pub(crate) fn png(scene: &Scene, path: &Path) -> Result<(), String> {
    register_fonts()?;
    let factor = SCALE as usize / BITMAP_SCALE;
    let width = (scene.width as usize) * BITMAP_SCALE;
    let height = (scene.height as usize) * BITMAP_SCALE;
    let (fine_width, fine_height) = (width * factor, height * factor);
    let (r, g, b) = Color::Paper.light();
    let mut fine: Vec<u8> = [r, g, b].repeat(fine_width * fine_height);
    {
        let size = (fine_width as u32, fine_height as u32);
        let mut backend = BitMapBackend::with_buffer(&mut fine, size);
        draw(&mut backend, scene, &BITMAP)?;
        backend.present().map_err(said)?;
    }
    let small = average(&fine, width, height, factor);
    let mut backend = BitMapBackend::new(path, (width as u32, height as u32));
    backend
        .blit_bitmap((0, 0), (width as u32, height as u32), &small)
        .map_err(said)?;
    backend.present().map_err(said)
}

/// Means of `factor` × `factor` pixels: smooth edges at any angle.
fn average(fine: &[u8], width: usize, height: usize, factor: usize) -> Vec<u8> {
    let row = width * factor * 3;
    let mut small = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let sum: usize = (0..factor * factor)
                    .map(|i| {
                        let (dy, dx) = (i / factor, i % factor);
                        let at = (y * factor + dy) * row + (x * factor + dx) * 3 + channel;
                        usize::from(fine[at])
                    })
                    .sum();
                small.push((sum / (factor * factor)) as u8);
            }
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::palette::hex;
    use crate::chart::scene::{Font, Stroke};

    fn scene() -> Scene {
        let mut scene = Scene::new(40.0);
        scene.height = 20.0;
        scene.line(
            vec![(0.0, 10.0), (40.0, 10.0)],
            Stroke::new(Color::Ink, 1.0),
        );
        scene.text((1.0, 9.0), "a < b & \"c\"", Font::new(8.0, Color::Muted));
        scene.note((5.0, 5.0), "1 < 2".into());
        scene
    }

    #[test]
    fn text_is_escaped_and_colours_are_those_of_the_palette() {
        let svg = svg(&scene(), "t & u").unwrap();
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && svg.contains("1 &lt; 2"));
        assert!(svg.contains("aria-label=\"t &amp; u\""));
        assert!(svg.contains(&hex(Color::Ink.light())) && svg.contains(&hex(Color::Muted.light())));
        assert!(svg.starts_with("<svg width=\"40\" height=\"20\" viewBox=\"0 0 160 80\""));
    }

    #[test]
    fn averaging_keeps_a_flat_colour_and_mixes_an_edge() {
        let flat = [7u8, 8, 9].repeat(4);
        assert_eq!(average(&flat, 1, 1, 2), [7, 8, 9]);
        let edge = [0u8, 0, 0, 200, 200, 200, 0, 0, 0, 200, 200, 200];
        assert_eq!(average(&edge, 1, 1, 2), [100, 100, 100]);
    }

    #[test]
    fn longer_text_is_wider() {
        assert!(text_width("wide", 10.0, false) > text_width("w", 10.0, false));
        assert!(text_width("abc", 10.0, true) > text_width("abc", 10.0, false));
    }
}
