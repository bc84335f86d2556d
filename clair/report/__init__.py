"""One page that shows a run: what it made, how far chosen is from rejected, what else differs, what it cost.

    from clair.report.write import write_report
    write_report(run_dir)                      # RUN/report.html, from the Parquet files and run.json alone

`scan.py` reads the split files once, or watches the rows on their way into them, and feeds `figures.py` (what the
charts show) and `sample.py` (what can be browsed); `rows.py` makes browsable rows of Parquet rows, `page.py` puts the
page together from `sections.py` and `charts.py`. `app.js` and `style.css` are what runs in the reader's browser.
"""
