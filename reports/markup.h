/* SPDX-License-Identifier: MIT
 *
 * Text of unknown origin between the tags of XML and HTML.
 */
#ifndef PINW_REPORTS_MARKUP_H
#define PINW_REPORTS_MARKUP_H

#include <stddef.h>
#include <stdio.h>

/* Writes text so that it stays text, in an element or in a quoted attribute. What is not UTF-8, what XML 1.0 cannot hold even as
 * a reference (section 2.2), and what hides or reorders text become U+FFFD. */
void pinw_markup_bytes(FILE *out, const char *text, size_t len);
void pinw_markup_text(FILE *out, const char *text);

#endif
