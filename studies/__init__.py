"""What has been learned: the database, its analysis, figures, reports and exported models."""
